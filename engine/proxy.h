/* engine/proxy.h: the header of the PROXY protocol, by which a relay tells a target who is behind a connection. Pure. */
#ifndef SLUICE_ENGINE_PROXY_H
#define SLUICE_ENGINE_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "address.h"

enum { PROXY_BYTES_MAX = 232 }; /* version 2 with two unix paths; version 1 has 107 at most */

/* Writes the header of that version (1, 2) for a connection from `peer` to `local` and returns its length. What is neither of IPv4,
 * IPv6 nor, in version 2, a unix socket is UNKNOWN (LOCAL, UNSPEC). */
size_t proxy_header(unsigned version, const struct address *peer, const struct address *local, uint8_t ret[PROXY_BYTES_MAX]);

#endif
