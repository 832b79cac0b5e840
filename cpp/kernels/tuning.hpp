// The numbers of the kernels that were found by measuring, each with its unit and what gave it. They decide how fast
// the kernels are and change no bit of a result; what bits depend on stands in args/layout.hpp. A number of a commit
// below is in its message; the machines are those of docs/performance/: Zen 3 (AVX2) and Zen 4 (AVX-512). Where no
// commit is named, none tells.
#pragma once

#include <cstddef>

namespace fusedrnn {

// Bytes. The share of a core's L2 cache that a k-block of weights may take. A constant, though machines differ (512 KB,
// 1 MB and 2 MB): the kernels ask no system, and the compiler knows the length of the gates' k-blocks.
inline constexpr std::ptrdiff_t l2_bytes = 512 * 1024;

namespace tuning {

// The register tile (gemm/tile.hpp).

// Rows: 6 rows of 4 vectors fill 32 registers, 6 of 2 fill 16, and 3 of 4 fill 16 where a cache line is 4 vectors or
// more.
inline constexpr int tile_rows = 6, tile_rows_of_few_registers = 3;
// Vectors of columns, of several rows and of one. 8 sums in flight hide the latency of fma: 4 cycles, two a cycle.
inline constexpr int tile_vectors = 4, single_row_vectors = 8;
// Unit vectors that a single row's tile takes of LSTM and GRU, with all their gates. 2, so that a rest is one vector.
inline constexpr int single_row_units = 2;
// Up to so many rows hide the latency of fma only with two micro-panels at once. (Zen 3, variants by
// turns in one process: 0121e41.)
inline constexpr int few_rows = 3;
// Rows with which a tile of interleaved micro-panels does not wait for loads (Zen 4, T 100, by turns in one process:
// e3ec6d4). Otherwise it takes two thirds of a full tile.
inline constexpr int enough_rows_interleaved = 2;
// Columns of x that one row's step multiplies while it waits for the activations of the step before. (Zen 4,
// one row, T 100: e3ec6d4.)
inline constexpr int columns_while_waiting_interleaved = 32, columns_while_waiting_separate = 16;

// Packed matrices (args/layout.hpp).

// Neighbouring micro-panels that are interleaved, at most: a tile reads one stream. (Zen 4, RNN 16x1760x1760, share of
// the FMA peak 55 to 88 %: b01baaf.)
inline constexpr std::ptrdiff_t interleaved_panels = 4;

// Separate micro-panels (gemm/micro_panels.hpp). (Zen 3, one core, least of 9: d4cf735, unless another is named.)

// Rows whose sums share the L1 cache with a k-block of a micro-panel.
inline constexpr std::ptrdiff_t micro_panel_rows = 48;
// k of a k-block: 32 KB of a micro-panel.
inline constexpr std::ptrdiff_t micro_panel_k_block = 512;
// Vectors of a micro-panel's line in a tile, at most, and micro-panels in a tile, at most.
inline constexpr std::ptrdiff_t micro_panel_vectors = 4, micro_panels_at_once = 2;
// k from one prefetch to the next: a line, with two tiles of rows. (c24e283.)
inline constexpr int k_per_prefetch = 2;
// Bytes of weights from which on the next k-block is prefetched, with two tiles of rows and with more; with one tile
// never. (Zen 3, variants by turns in one process: 0121e41.)
inline constexpr std::ptrdiff_t prefetch_bytes_of_two_tiles = 4 << 20, prefetch_bytes = 2 << 20;

// Gates in k-blocks (gemm/gate_k_blocks.hpp). (One Zen 4 core, LSTM forward: 308ff68.)

// Tiles of rows whose sums share the cache with a k-block.
inline constexpr std::ptrdiff_t k_block_tiles = 8;
// k-blocks above which a product is worth cutting into them.
inline constexpr std::ptrdiff_t min_k_blocks = 2;

// Overlapped products (gemm/overlap.hpp). (Zen 4, one row, T 100, least times by turns: e3ec6d4.)

// Rows of x in a tile, vectors of columns, and rows of W_hh to one row of W_ih.
inline constexpr int overlapped_rows = 8, overlapped_vectors = 2;
inline constexpr std::ptrdiff_t recurrent_rows_per_row = 2;

// Sums over rows (gemm/outer.hpp).

// Unit blocks of columns of a that are packed at a time: with reduction_block rows 192 KB, which stay in the L2 cache.
// (Zen 3, dW alone, and training, by turns of six processes: 3af91c4.)
inline constexpr std::ptrdiff_t outer_chunk_blocks = 6;
// Unit blocks of b in a packed panel: on AVX-512 the columns of a tile. Panels that are packed at a time, at most
// (3af91c4).
inline constexpr std::ptrdiff_t outer_panel_blocks = 4, outer_panels = 16;
// Rows of a that are packed at once: a cache line of them feeds up to three tiles, and rows a power of two apart must
// not push each other out of the L1 cache. (Zen 4: 748e1ad.)
inline constexpr std::ptrdiff_t outer_rows_packed_at_once = 8;

// Prefetches for the cell in backward, AVX-512 (step/backward.hpp). (Zen 4, T 50, least of 5 alternating processes, and
// training_times: 8fc1ab1.)

// From so many rows, so many bytes of h in a step and so deep a product on they gain.
inline constexpr std::ptrdiff_t cell_prefetch_rows = 16, cell_prefetch_bytes = 16 << 10, cell_prefetch_depth = 512;
// The parts of a tile's product between which they are made: all at once would fill the queue of misses.
inline constexpr std::ptrdiff_t cell_prefetch_parts = 4;

}  // namespace tuning
}  // namespace fusedrnn
