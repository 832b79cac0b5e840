// A parallel region in which each of two threads works for 50 us, OpenMP's and ours, alone and beside a process that
// computes all the time: why fusedrnn has threads of its own (docs/design/threads.md).
//
//   g++ -O2 -std=c++20 -fopenmp -pthread -Icpp -Icpp/include benchmarks/openmp_regions.cpp cpp/threads/*.cpp -o regions
//   && ./regions
#include <omp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "threads/parallel.hpp"

namespace {

using Clock = std::chrono::steady_clock;

double microseconds(Clock::time_point since) {
    return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
}

// Both threads work for so long in a region, so that there is something to share out.
void work() {
    for (const auto start = Clock::now(); microseconds(start) < 50;) {
    }
}

template <class Region>
void time(const char* name, const char* where, Region region) {
    constexpr int rounds = 2000;
    std::vector<double> times;
    for (int round = 0; round < rounds; ++round) {
        const auto start = Clock::now();
        region();
        times.push_back(microseconds(start));
    }
    std::sort(times.begin(), times.end());
    double sum = 0;
    for (const double one : times) sum += one;
    std::printf("%-8s %-22s mean %8.1f us  median %8.1f us  99 %% %8.1f us\n", name, where, sum / rounds,
                times[rounds / 2], times[rounds * 99 / 100]);
    std::fflush(stdout);
}

void both(const char* where) {
    time("OpenMP", where, [] {
#pragma omp parallel num_threads(2)
        work();
    });
    auto share = [](int, const fusedrnn::Team&) { work(); };
    time("ours", where, [&] { fusedrnn::for_shares({2}, 2, share); });
}

}  // namespace

int main() {
    both("alone");
    const pid_t busy = fork();
    if (busy == 0)
        for (volatile unsigned long count = 0;; ++count) {
        }
    both("beside a busy process");
    kill(busy, SIGKILL);
    waitpid(busy, nullptr, 0);
    return 0;
}
