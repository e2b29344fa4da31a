/* tests/unit/unit.h: cmocka in the order it wants its headers, and what several unit tests need. */
#ifndef SLUICE_TESTS_UNIT_H
#define SLUICE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Long enough for any machine; a test that waits for this long has failed. */
enum { PATIENCE_MS = 20000 };

#endif
