/* tools/endpoint.h: "HOST:PORT", "[V6]:PORT", ":PORT", "unix:PATH" and "fd:N" as sockets to listen on and addresses to connect to. */
#ifndef SLUICE_TOOLS_ENDPOINT_H
#define SLUICE_TOOLS_ENDPOINT_H

#include <stddef.h>

#include <sluice/relay.h>

enum { ENDPOINT_TEXT_BYTES = 256, ENDPOINT_WHY_BYTES = 640 };

/* Looks a target's name up, which may take as long as the name server does. Their number; *ret is the caller's to free().
 * Else `why` says in words what is wrong: -EINVAL with `text`; -EADDRNOTAVAIL, no such name. */
int endpoint_addresses(const char *text, struct sluice_address **ret, char why[ENDPOINT_WHY_BYTES]);

/* One or `nr` listening sockets: TCP with several has one for each (SO_REUSEPORT), all else gives the same one `nr` times.
 * O_CLOEXEC. Else nothing is open, and `why` says what is wrong: -EINVAL with `text`, or another error. */
struct endpoint_listener {
        int *fds;
        size_t nr;
        char name[ENDPOINT_TEXT_BYTES]; /* where it listens, with the port that it got */
        char path[108];                 /* a unix socket's, which is removed at the end; "" for none */
};
int endpoint_listen(const char *text, size_t nr, struct endpoint_listener *ret, char why[ENDPOINT_WHY_BYTES]);
/* Closes the sockets; the name and the path stay. Others may have duplicates of them. */
void endpoint_release(struct endpoint_listener *l);
/* ... and removes a unix socket's file. */
void endpoint_close(struct endpoint_listener *l);

#endif
