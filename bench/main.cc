// bench/main.cc: the parts of the engine that move nothing: the negotiation, an idle loop. moves.cc has the rest.
#include <benchmark/benchmark.h>

#include <csignal>
#include <unistd.h>

extern "C" {
#include "negotiate.h"
}

namespace
{

void negotiate_a_link(benchmark::State &state)
{
        uint32_t masks = 0;

        for (auto _ : state) {
                benchmark::DoNotOptimize(negotiate(masks & 31, masks >> 5 & 31));
                masks++;
        }
}
BENCHMARK(negotiate_a_link);

// A turn that finds nothing to do and does not wait.
void idle_turn(benchmark::State &state)
{
        sluice_loop *loop;

        if (sluice_loop_new(&loop, nullptr) < 0) {
                state.SkipWithError("no loop");
                return;
        }
        for (auto _ : state)
                benchmark::DoNotOptimize(sluice_loop_turn(loop, 0));
        sluice_loop_free(loop);
}
BENCHMARK(idle_turn);

// The same with transfers that wait for bytes which do not come.
void idle_turn_with_waiting_transfers(benchmark::State &state)
{
        constexpr int most = 64;
        const int transfers = static_cast<int>(state.range(0));
        sluice_loop_options options{};
        int from[most][2], to[most][2], made = 0, ended = 0;
        sluice_loop *loop;

        options.size = sizeof(options);
        options.exclusive = 1;
        if (sluice_loop_new(&loop, &options) < 0) {
                state.SkipWithError("no loop");
                return;
        }
        for (; made < transfers; made++) {
                struct sluice_transfer t {
                };

                if (pipe(from[made]) < 0 || pipe(to[made]) < 0) {
                        state.SkipWithError("no pipe");
                        break;
                }
                t.size = sizeof(t);
                t.from = from[made][0];
                t.to = to[made][1];
                t.offset_from = t.offset_to = t.length = -1;
                t.driver = SLUICE_DRIVER_INLINE;
                if (sluice_transfer(
                            loop, &t, [](void *n, int64_t) { ++*static_cast<int *>(n); }, &ended) < 0) {
                        state.SkipWithError("no transfer");
                        break;
                }
        }
        for (int i = 0; i < 4; i++)
                sluice_loop_turn(loop, 0); // they look, find nothing and wait
        for (auto _ : state)
                benchmark::DoNotOptimize(sluice_loop_turn(loop, 0));
        for (int i = 0; i < made; i++)
                close(from[i][1]); // the end of stream ends them
        while (ended < made && sluice_loop_turn(loop, 1000) > 0)
                ;
        for (int i = 0; i < made; i++) {
                close(from[i][0]);
                close(to[i][0]);
                close(to[i][1]);
        }
        sluice_loop_free(loop);
}
BENCHMARK(idle_turn_with_waiting_transfers)->Arg(1)->Arg(64);

} // namespace

int main(int argc, char **argv)
{
        std::signal(SIGPIPE, SIG_IGN);
        benchmark::Initialize(&argc, argv);
        if (benchmark::ReportUnrecognizedArguments(argc, argv))
                return 2;
        benchmark::RunSpecifiedBenchmarks();
        benchmark::Shutdown();
        return 0;
}
