/* uring/object.c: see object.h. Reads the dynamic section as the loader would: the hash table leads to the symbol, the symbol
 * to its name. Nothing that the file says of itself is believed beyond its own length: every read is a pread(), and a chain
 * ends where the file does. Called by helper.c. */
#include "object.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#else
#error "object.c: which e_machine is this?"
#endif

enum { SEGMENTS_MAX = 64, DYNAMIC_MAX = 1024, CHAIN_MAX = 1 << 20, NAME_PIECE = 64 };

struct object {
        int fd;
        Elf64_Phdr segments[SEGMENTS_MAX];
        size_t segments_nr;
        Elf64_Addr symbols, names, gnu_hash, hash;
};

static int read_at(int fd, uint64_t offset, void *data, size_t bytes)
{
        for (size_t at = 0; at < bytes;) {
                ssize_t n = pread(fd, (char *)data + at, bytes - at, (off_t)(offset + at));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 && errno != EINVAL && errno != EISDIR && errno != ESPIPE ? -errno : -ENOEXEC;
                at += (size_t)n;
        }
        return 0;
}

/* An address as it will be once loaded, to where it is in the file. */
static int read_address(const struct object *o, Elf64_Addr address, void *data, size_t bytes)
{
        for (size_t i = 0; i < o->segments_nr; i++) {
                const Elf64_Phdr *s = &o->segments[i];

                if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz)
                        return read_at(o->fd, s->p_offset + (address - s->p_vaddr), data, bytes);
        }
        return -ENOEXEC;
}

static int read_header(struct object *o)
{
        Elf64_Ehdr h;
        int r = read_at(o->fd, 0, &h, sizeof(h));

        if (r < 0)
                return r;
        if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != MACHINE ||
            h.e_type != ET_DYN || h.e_phentsize != sizeof(o->segments[0]) || h.e_phnum > SEGMENTS_MAX)
                return -ENOEXEC;
        o->segments_nr = h.e_phnum;
        return read_at(o->fd, h.e_phoff, o->segments, h.e_phnum * sizeof(o->segments[0]));
}

static void note_entry(struct object *o, const Elf64_Dyn *d)
{
        switch (d->d_tag) {
        case DT_SYMTAB:
                o->symbols = d->d_un.d_ptr;
                break;
        case DT_STRTAB:
                o->names = d->d_un.d_ptr;
                break;
        case DT_GNU_HASH:
                o->gnu_hash = d->d_un.d_ptr;
                break;
        case DT_HASH:
                o->hash = d->d_un.d_ptr;
                break;
        }
}

static int read_dynamic(struct object *o)
{
        const Elf64_Phdr *dynamic = NULL;
        Elf64_Dyn d = { .d_tag = DT_NULL };
        int r = 0;

        for (size_t i = 0; i < o->segments_nr; i++)
                if (o->segments[i].p_type == PT_DYNAMIC)
                        dynamic = &o->segments[i];
        if (!dynamic)
                return -ENOEXEC;
        for (size_t i = 0; r == 0 && i < DYNAMIC_MAX && i < dynamic->p_filesz / sizeof(d); i++) {
                r = read_at(o->fd, dynamic->p_offset + i * sizeof(d), &d, sizeof(d));
                if (r < 0 || d.d_tag == DT_NULL)
                        break;
                note_entry(o, &d);
        }
        return r < 0 ? r : o->symbols && o->names ? 0 : -ENOEXEC;
}

/* 1: it is; 0: it is not. */
static int has_name(const struct object *o, Elf64_Addr at, const char *name)
{
        size_t bytes = strlen(name) + 1;
        char piece[NAME_PIECE];

        for (size_t i = 0; i < bytes; i += sizeof(piece)) {
                size_t n = bytes - i < sizeof(piece) ? bytes - i : sizeof(piece);
                int r = read_address(o, at + i, piece, n);

                if (r < 0)
                        return r;
                if (memcmp(piece, name + i, n) != 0)
                        return 0;
        }
        return 1;
}

/* 1: symbol `index` is a function of that name which the object defines for others. */
static int is_the_one(const struct object *o, uint32_t index, const char *name)
{
        Elf64_Sym s;
        int r = read_address(o, o->symbols + (Elf64_Addr)index * sizeof(s), &s, sizeof(s)), type, bind;

        if (r < 0)
                return r;
        type = ELF64_ST_TYPE(s.st_info);
        bind = ELF64_ST_BIND(s.st_info);
        if (s.st_shndx == SHN_UNDEF || bind == STB_LOCAL || (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
                return 0;
        return has_name(o, o->names + s.st_name, name);
}

static uint32_t gnu_hash_of(const char *name)
{
        uint32_t h = 5381;

        for (; *name; name++)
                h = h * 33 + (unsigned char)*name;
        return h;
}

static int look_in_gnu_hash(const struct object *o, const char *name)
{
        struct {
                uint32_t buckets, first, blooms, shift;
        } head;
        Elf64_Addr buckets, chain;
        uint32_t hash = gnu_hash_of(name), index, value = 0;
        int r = read_address(o, o->gnu_hash, &head, sizeof(head));

        if (r < 0 || head.buckets == 0)
                return r < 0 ? r : -ENOENT;
        buckets = o->gnu_hash + sizeof(head) + (Elf64_Addr)head.blooms * sizeof(Elf64_Addr);
        chain = buckets + (Elf64_Addr)head.buckets * sizeof(uint32_t);
        r = read_address(o, buckets + (Elf64_Addr)(hash % head.buckets) * sizeof(index), &index, sizeof(index));
        if (r < 0 || index < head.first)
                return r < 0 ? r : -ENOENT;
        for (uint32_t i = 0; i < CHAIN_MAX && !(value & 1); i++, index++) {
                r = read_address(o, chain + (Elf64_Addr)(index - head.first) * sizeof(value), &value, sizeof(value));
                if (r == 0 && (value | 1) == (hash | 1))
                        r = is_the_one(o, index, name);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return -ENOENT;
}

/* The older table has a chain over all symbols too: they are simply all looked at. */
static int look_in_hash(const struct object *o, const char *name)
{
        uint32_t head[2];
        int r = read_address(o, o->hash, head, sizeof(head));

        for (uint32_t i = 1; r == 0 && i < head[1] && i < CHAIN_MAX; i++) {
                r = is_the_one(o, i, name);
                if (r > 0)
                        return 0;
        }
        return r < 0 ? r : -ENOENT;
}

int object_defines(int fd, const char *name)
{
        struct object o = { .fd = fd };
        int r = read_header(&o);

        if (r == 0)
                r = read_dynamic(&o);
        if (r < 0)
                return r;
        if (o.gnu_hash)
                return look_in_gnu_hash(&o, name);
        return o.hash ? look_in_hash(&o, name) : -ENOENT;
}
