// bench/pool.cc: a buffer got and put, by a pool and by malloc, on one thread and on two; untouched, and with a byte written to
// each of its pages, which is what a mapping given back to the kernel costs again.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include <sluice/sluice.h>

namespace
{

constexpr std::size_t page = 4096;

void touch(void *data, std::size_t bytes)
{
        for (std::size_t at = 0; at < bytes; at += page)
                static_cast<volatile char *>(data)[at] = 1;
}

struct by_pool {
        sluice_buffer *b = nullptr;

        static sluice_pool *pool_of(std::size_t bytes)
        {
                static sluice_pool *pools[24]; // by the size's logarithm; a pool serves all threads of its benchmark
                sluice_pool *&p = pools[__builtin_ctzl(bytes)];

                if (!p) {
                        sluice_pool_options o{};

                        o.size = sizeof(o);
                        o.buffer_bytes = bytes;
                        sluice_pool_new(&p, &o);
                }
                return p;
        }
        sluice_pool *pool;
        explicit by_pool(std::size_t bytes) : pool(pool_of(bytes)) {}
        void *get(std::size_t) { return sluice_pool_get(pool, &b) < 0 ? nullptr : sluice_buffer_data(b); }
        void put() { sluice_buffer_put(b); }
};

struct by_malloc {
        void *data = nullptr;

        explicit by_malloc(std::size_t) {}
        void *get(std::size_t bytes) { return data = std::malloc(bytes); }
        void put() { std::free(data); }
};

// `Held` at a time: one is what any allocator does best.
template <typename By, bool Touch, int Held> void get_put(benchmark::State &state)
{
        const auto bytes = static_cast<std::size_t>(state.range(0));
        By *held[Held];

        for (By *&h : held)
                h = new By(bytes);
        for (auto _ : state) {
                for (By *h : held) {
                        void *data = h->get(bytes);

                        if (!data) {
                                state.SkipWithError("no memory");
                                break;
                        }
                        benchmark::DoNotOptimize(data);
                        if (Touch)
                                touch(data, bytes);
                }
                for (By *h : held)
                        h->put();
        }
        for (By *h : held)
                delete h;
        state.SetItemsProcessed(state.iterations() * Held);
}

#define SIZES Arg(4 << 10)->Arg(64 << 10)->Arg(256 << 10)->Threads(1)->Threads(2)->UseRealTime()
BENCHMARK_TEMPLATE(get_put, by_pool, false, 1)->Name("get_put/pool")->SIZES;
BENCHMARK_TEMPLATE(get_put, by_malloc, false, 1)->Name("get_put/malloc")->SIZES;
BENCHMARK_TEMPLATE(get_put, by_pool, true, 1)->Name("get_put_touched/pool")->SIZES;
BENCHMARK_TEMPLATE(get_put, by_malloc, true, 1)->Name("get_put_touched/malloc")->SIZES;
BENCHMARK_TEMPLATE(get_put, by_pool, true, 8)->Name("get_put_touched_8_held/pool")->SIZES;
BENCHMARK_TEMPLATE(get_put, by_malloc, true, 8)->Name("get_put_touched_8_held/malloc")->SIZES;

} // namespace
