# Promises: a stage never calls the system itself where that could wait: it asks the engine (sluice_ctx_...).
set -u
cd "${SOURCE:?}" || exit 1

calls='open|openat|openat2|creat|read|readv|pread|pread64|preadv|preadv2|write|writev|pwrite|pwrite64|pwritev|pwritev2
splice|tee|vmsplice|sendfile|copy_file_range|fopen|fdopen|freopen|fread|fwrite|fgets|fputs|fputc|fgetc|getc|putc|getline|fprintf|printf|puts|perror|fflush
socket|socketpair|connect|accept|accept4|bind|listen|send|sendto|sendmsg|sendmmsg|recv|recvfrom|recvmsg|recvmmsg|shutdown
getaddrinfo|getnameinfo|gethostbyname|gethostbyaddr|getservbyname|getpwnam|getgrnam
fsync|fdatasync|sync|syncfs|sync_file_range|unlink|unlinkat|remove|rename|renameat|renameat2|link|linkat|symlink|symlinkat|mkdir|mkdirat|rmdir
stat|lstat|fstat|fstatat|statx|access|faccessat|readlink|readlinkat|realpath|opendir|readdir|ftruncate|truncate|fallocate|posix_fallocate|lseek|flock|lockf
mkstemp|mkostemp|mkdtemp|tmpfile|chmod|fchmod|chown|fchown
poll|ppoll|select|pselect|epoll_wait|sleep|usleep|nanosleep|clock_nanosleep|pause|sigwait|sigwaitinfo
wait|waitpid|waitid|wait4|fork|vfork|clone|execve|execv|execvp|execvpe|posix_spawn|posix_spawnp|system|popen|pclose|kill|raise
pthread_create|pthread_join|pthread_mutex_lock|pthread_cond_wait|sem_wait|syscall|ioctl|mmap|dlopen|pipe|pipe2|dup|dup2|dup3|abort|exit|_exit'
calls=$(printf %s "$calls" | tr '\n' '|')

# Comments and strings are no calls. A member (->open, .open) or another word's tail (sluice_ctx_open) is none either.
# library.c loads code when a stage is added, on the thread of whoever adds it: no hook calls it.
found=$(for file in stages/*.c stages/*.h; do
        [ "$file" != stages/library.c ] || continue
        sed -e 's/"\([^"\\]\|\\.\)*"/""/g' "$file" | awk -v file="$file" '
        {
                line = $0
                out = ""
                while (length(line)) {
                        if (inside) {
                                at = index(line, "*/")
                                if (!at) break
                                line = substr(line, at + 2)
                                inside = 0
                        } else {
                                at = index(line, "/*")
                                if (!at) { out = out line; break }
                                out = out substr(line, 1, at - 1)
                                line = substr(line, at + 2)
                                inside = 1
                        }
                }
                sub(/\/\/.*/, "", out)
                print file ":" NR ":" out
        }'
done | grep -E ":.*(^|[^A-Za-z0-9_.>])($calls)[[:space:]]*\(")
if [ "$found" ]; then
        printf 'stages call the system themselves:\n%s\n' "$found" >&2
        exit 1
fi
