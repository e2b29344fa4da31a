/* stages/socket.h: what tcp.c and unix.c share: a stream socket's life after it is connected. */
#ifndef SLUICE_STAGES_SOCKET_H
#define SLUICE_STAGES_SOCKET_H

#include <netinet/in.h>

#include <sluice/stages.h>

struct socket_config {
        char *text;        /* as given */
        char *host, *port; /* TCP */
        int listen;
        struct sluice_socket_options opt;
};

struct socket_self {
        int fd; /* connected; -1 before */
        int listener;
        int next_address; /* TCP: of those that the name has */
        int last_error;
        int shut; /* our sending side is over */
        int tcp;
        int64_t discarded; /* bytes of the peer's that nobody wanted */
        int bound;         /* unix-listen: there is a file to remove */
};

int socket_config_copy(void **ret, const void *config);
void socket_config_free(void *config);
int socket_describe(struct sluice_ctx *, void *self, enum sluice_direction, struct sluice_side *ret);
int socket_fd(struct sluice_ctx *, void *self, enum sluice_direction);
int socket_drained(struct sluice_ctx *, void *self);
void socket_close(struct sluice_ctx *, void *self, int error);
/* From now on the kernel resets the connection that `fd` is, or will be or accept, when it closes: to be called before it
 * is one, since a process may be killed between the peer's accept and its next call. */
void socket_reset_on_close(struct sluice_ctx *, const struct socket_self *self, int fd);
/* Reports the connected fd, or the error, to the engine. */
void socket_opened(struct sluice_ctx *, struct socket_self *self, int64_t fd);
int64_t socket_accept_timeout(const struct socket_config *c);
int64_t socket_connect_timeout(const struct socket_config *c);

#endif
