// bench/moves.cc: one move of a range, by each driver of sluice_transfer() and by the plain system calls, in one run.
//
//      file_to_socket   a file in memory -> a unix stream socket; another thread reads and forgets
//      pipe_to_pipe     a pipe, filled by reference before each move, -> a pipe, emptied into /dev/null after it
//
// Time is wall time; CPU is that of the whole process: the reading thread and the ring's workers count. "harness" is
// the same iteration without the move, "empty" a transfer of no bytes: what the others' figures include.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <sluice/sluice.h>

namespace
{

constexpr size_t pipe_size = 1 << 20, buffer_size = 256 << 10;

enum method { HARNESS, SPLICE, READ_WRITE, SENDFILE, EMPTY, INLINE, RING, COPY };

sluice_driver driver_of(method m)
{
        return m == RING ? SLUICE_DRIVER_RING : m == COPY ? SLUICE_DRIVER_COPY : SLUICE_DRIVER_INLINE;
}

struct pipe_pair {
        int fds[2] = { -1, -1 };

        pipe_pair()
        {
                if (pipe2(fds, O_CLOEXEC) == 0)
                        fcntl(fds[1], F_SETPIPE_SZ, pipe_size);
        }
        ~pipe_pair()
        {
                close(fds[0]);
                close(fds[1]);
        }
        pipe_pair(const pipe_pair &) = delete;
        pipe_pair &operator=(const pipe_pair &) = delete;
        bool holds(size_t bytes) const { return fcntl(fds[0], F_GETPIPE_SZ) >= static_cast<int>(bytes); }
};

// All of it or nothing counts: true when `bytes` went from one to the other.
bool splice_all(int from, loff_t *offset, int to, size_t bytes)
{
        while (bytes > 0) {
                ssize_t n = splice(from, offset, to, nullptr, bytes, 0);

                if (n <= 0)
                        return false;
                bytes -= static_cast<size_t>(n);
        }
        return true;
}

bool write_all(int to, const char *data, size_t bytes)
{
        while (bytes > 0) {
                ssize_t n = write(to, data, bytes);

                if (n <= 0)
                        return false;
                data += n;
                bytes -= static_cast<size_t>(n);
        }
        return true;
}

struct memory_file {
        int fd = memfd_create("sluice-bench", MFD_CLOEXEC);

        explicit memory_file(size_t bytes)
        {
                std::vector<char> data(bytes, 'x');

                if (fd >= 0)
                        write_all(fd, data.data(), bytes);
        }
        ~memory_file() { close(fd); }
        memory_file(const memory_file &) = delete;
        memory_file &operator=(const memory_file &) = delete;
};

// sluice_transfer() and the loop it runs on.
struct engine {
        sluice_loop *loop = nullptr;

        engine()
        {
                sluice_loop_options options{};

                options.size = sizeof(options);
                options.exclusive = 1;
                sluice_loop_new(&loop, &options);
        }
        ~engine() { sluice_loop_free(loop); }
        engine(const engine &) = delete;
        engine &operator=(const engine &) = delete;

        bool move(method m, int from, int64_t offset, int to, size_t bytes)
        {
                struct outcome {
                        bool ended;
                        int64_t result;
                } outcome{};
                struct sluice_transfer t {
                };

                t.size = sizeof(t);
                t.from = from;
                t.to = to;
                t.offset_from = offset;
                t.offset_to = -1;
                t.length = m == EMPTY ? 0 : static_cast<int64_t>(bytes);
                t.driver = driver_of(m);
                auto done = [](void *arg, int64_t result) { *static_cast<struct outcome *>(arg) = { true, result }; };
                if (sluice_transfer(loop, &t, done, &outcome) < 0)
                        return false;
                while (!outcome.ended)
                        if (sluice_loop_turn(loop, -1) < 0)
                                return false;
                return outcome.result == t.length;
        }
};

void finish(benchmark::State &state, method m, size_t bytes)
{
        if (m != HARNESS && m != EMPTY)
                state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(bytes));
}

bool file_read_write(int file, int to, size_t bytes, char *buffer)
{
        for (size_t at = 0; at < bytes;) {
                ssize_t n = pread(file, buffer, std::min(buffer_size, bytes - at), static_cast<off_t>(at));

                if (n <= 0 || !write_all(to, buffer, static_cast<size_t>(n)))
                        return false;
                at += static_cast<size_t>(n);
        }
        return true;
}

bool file_splice(int file, const pipe_pair &between, int to, size_t bytes)
{
        loff_t at = 0;

        while (bytes > 0) {
                ssize_t n = splice(file, &at, between.fds[1], nullptr, bytes, 0);

                if (n <= 0 || !splice_all(between.fds[0], nullptr, to, static_cast<size_t>(n)))
                        return false;
                bytes -= static_cast<size_t>(n);
        }
        return true;
}

bool file_sendfile(int file, int to, size_t bytes)
{
        for (off_t at = 0; at < static_cast<off_t>(bytes);)
                if (sendfile(to, file, &at, bytes - static_cast<size_t>(at)) <= 0)
                        return false;
        return true;
}

void file_to_socket(benchmark::State &state, method m)
{
        const size_t bytes = static_cast<size_t>(state.range(0));
        std::vector<char> buffer(buffer_size);
        memory_file file(bytes);
        pipe_pair between;
        engine sluice;
        bool ok = true;
        int ends[2];

        if (file.fd < 0 || !sluice.loop || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
                state.SkipWithError("no file, loop or socket");
                return;
        }
        // The plain calls get a blocking socket, their best case; the engine's own end has to be O_NONBLOCK.
        if (m >= EMPTY)
                fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_NONBLOCK);
        std::thread reader([fd = ends[1]] {
                std::vector<char> data(buffer_size);

                while (read(fd, data.data(), data.size()) > 0)
                        ;
        });
        for (auto _ : state) {
                switch (m) {
                case HARNESS:
                        break;
                case SPLICE:
                        ok = file_splice(file.fd, between, ends[0], bytes);
                        break;
                case READ_WRITE:
                        ok = file_read_write(file.fd, ends[0], bytes, buffer.data());
                        break;
                case SENDFILE:
                        ok = file_sendfile(file.fd, ends[0], bytes);
                        break;
                default:
                        ok = sluice.move(m, file.fd, 0, ends[0], bytes);
                }
                if (!ok) {
                        state.SkipWithError("not all bytes moved");
                        break;
                }
        }
        /* Not close() alone: a ring with DEFER_TASKRUN may hold the file of a completed operation until its next turn, and
         * nobody turns the loop while this waits. */
        shutdown(ends[0], SHUT_WR);
        close(ends[0]);
        reader.join();
        close(ends[1]);
        finish(state, m, bytes);
}

bool pipe_read_write(int from, int to, size_t bytes, char *buffer)
{
        while (bytes > 0) {
                ssize_t n = read(from, buffer, std::min(buffer_size, bytes));

                if (n <= 0 || !write_all(to, buffer, static_cast<size_t>(n)))
                        return false;
                bytes -= static_cast<size_t>(n);
        }
        return true;
}

void pipe_to_pipe(benchmark::State &state, method m)
{
        const size_t bytes = static_cast<size_t>(state.range(0));
        const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        std::vector<char> buffer(buffer_size);
        memory_file file(bytes);
        pipe_pair from, to;
        engine sluice;

        if (file.fd < 0 || null < 0 || !sluice.loop || !from.holds(bytes) || !to.holds(bytes))
                state.SkipWithError("no file, loop or pipe of that size");
        for (auto _ : state) {
                int drain = to.fds[0];
                loff_t at = 0;
                bool ok = splice_all(file.fd, &at, from.fds[1], bytes);

                switch (m) {
                case HARNESS:
                        drain = from.fds[0];
                        break;
                case SPLICE:
                        ok = ok && splice_all(from.fds[0], nullptr, to.fds[1], bytes);
                        break;
                case READ_WRITE:
                        ok = ok && pipe_read_write(from.fds[0], to.fds[1], bytes, buffer.data());
                        break;
                case EMPTY:
                        drain = from.fds[0];
                        ok = ok && sluice.move(m, from.fds[0], -1, to.fds[1], bytes);
                        break;
                default:
                        ok = ok && sluice.move(m, from.fds[0], -1, to.fds[1], bytes);
                }
                if (!ok || !splice_all(drain, nullptr, null, bytes)) {
                        state.SkipWithError("not all bytes moved");
                        break;
                }
        }
        if (null >= 0)
                close(null);
        finish(state, m, bytes);
}

#define MOVE(what, name, method)                                                                                                   \
        BENCHMARK_CAPTURE(what, name, method)->Arg(64 << 10)->Arg(1 << 20)->UseRealTime()->MeasureProcessCPUTime()

MOVE(file_to_socket, harness, HARNESS);
MOVE(file_to_socket, plain_splice, SPLICE);
MOVE(file_to_socket, plain_read_write, READ_WRITE);
MOVE(file_to_socket, plain_sendfile, SENDFILE);
MOVE(file_to_socket, sluice_empty, EMPTY);
MOVE(file_to_socket, sluice_inline, INLINE);
MOVE(file_to_socket, sluice_ring, RING);
MOVE(file_to_socket, sluice_copy, COPY);
MOVE(pipe_to_pipe, harness, HARNESS);
MOVE(pipe_to_pipe, plain_splice, SPLICE);
MOVE(pipe_to_pipe, plain_read_write, READ_WRITE);
MOVE(pipe_to_pipe, sluice_empty, EMPTY);
MOVE(pipe_to_pipe, sluice_inline, INLINE);
MOVE(pipe_to_pipe, sluice_ring, RING);
MOVE(pipe_to_pipe, sluice_copy, COPY);

} // namespace
