// Weight gradients: out[m][n] += sum over rows of a[row][m] * b[row][n]. The rows are many (time x batch), so both
// operands are packed and each sum is a chain over one reduction block, the blocks being added last to first. Of a
// block, b is packed once; a in chunks small enough to be written and read in the L2 cache while the panels of b pass
// by. A panel is up to four micro-panels.
#pragma once

#include "gemm/micro_panels.hpp"
#include "gemm/tile.hpp"

namespace fusedrnn::FUSEDRNN_ISA {
namespace {

template <class T>
struct Outer {
    using V = Vec<T>;
    static constexpr int max_rows = Blocking<T>::max_rows;
    static constexpr int max_vectors = interleaved<T> ? Blocking<T>::linear_vectors : MicroPanels<T>::tile_vectors;
    static constexpr Index padded_row = ceil_div(max_rows, V::width) * V::width;  // of a tile
    static_assert(padded_row <= unit_block<T>);
    static constexpr Index padded_sums = ceil_div(outer_chunk<T>, max_rows) * padded_row;
    static constexpr Index panel_columns = tuning::outer_panel_blocks * unit_block<T>;
    static constexpr Index panel_size = reduction_block * panel_columns;
    static constexpr Index b_k_stride = interleaved<T> ? panel_columns : unit_block<T>;

    // Blocks start at multiples of reduction_block and are added from the last to the first, as the steps come back.
    FUSEDRNN_INLINE static Index last_block(Index rows) {
        return (ceil_div(rows, reduction_block) - 1) * reduction_block;
    }

    static T* align(T* p) {
        const auto address = reinterpret_cast<__UINTPTR_TYPE__>(p);
        return reinterpret_cast<T*>((address + cache_line - 1) / cache_line * cache_line);
    }

    // One tile: its block's sums are added to out.
    template <int MR, int NV>
    static void tile(const T* a, const T* b, Index depth, T* out, Index out_stride, Index lanes) {
        V sum[MR][NV];
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r) {
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) sum[r][j] = V::zero();
            __builtin_prefetch(out + r * out_stride, 1);
            __builtin_prefetch(out + r * out_stride + (NV - 1) * V::width, 1);
        }
        accumulate<V, MR, NV>(sum, PackedRows<T, MR>{a}, b, depth, b_k_stride, Contiguous<V>{}, SameAccumulator{});
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
            for (int j = 0; j < NV; ++j) {
                T* to = out + r * out_stride + j * V::width;
                store_lanes(load_lanes<V>(to, lanes - j * V::width) + sum[r][j], to, lanes - j * V::width);
            }
    }

    template <int MR>
    static void by_vectors(Index vectors, const T* a, const T* b, Index depth, T* out, Index out_stride, Index lanes) {
        with_constant<max_vectors>(
            vectors, [&](auto n) FUSEDRNN_LAMBDA { tile<MR, n.value>(a, b, depth, out, out_stride, lanes); });
    }

    static void any_tile(Index rows, Index vectors, const T* a, const T* b, Index depth, T* out, Index out_stride,
                         Index lanes) {
        with_constant<max_rows>(
            rows, [&](auto n) FUSEDRNN_LAMBDA { by_vectors<n.value>(vectors, a, b, depth, out, out_stride, lanes); });
    }

    // From a tile's packed rows to the next tile's: the last row is written in whole vectors too.
    FUSEDRNN_INLINE static Index packed_size(Index rows, Index depth) { return rows * depth + unit_block<T>; }

    // Packs `depth` rows of a, columns [column, column + count), as tiles [tile][k][rows of the tile], a few rows at a
    // time. The numbers are summed on the way: sums[tile][row] += a[k][row of the tile], k in order; padded as the
    // tiles' rows are written.
    static void pack_a(const T* const* a, Index column, Index depth, Index count, T* out, T* sums) {
        constexpr Index rows_at_once = tuning::outer_rows_packed_at_once;
        for (Index k = 0; k < depth; k += rows_at_once) {
            const Index now = depth - k < rows_at_once ? depth - k : rows_at_once;
            T *tile = out, *sum = sums;
            for_each_row_tile(count, max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                const T* const* from = a + k;
                const Index at = column + first, lanes = count - first;
                if (now == rows_at_once && rows == max_rows && lanes >= padded_row)
                    pack_rows(rows_at_once, max_rows, tile + k * max_rows, sum,
                              [=](Index i, Index j) FUSEDRNN_LAMBDA { return V::load(from[i] + at + j); });
                else
                    pack_rows(now, rows, tile + k * rows, sum, [=](Index i, Index j) FUSEDRNN_LAMBDA {
                        return lanes > j ? load_lanes<V>(from[i] + at + j, lanes - j) : V::zero();
                    });
                tile += packed_size(rows, depth);
                sum += padded_row;
            });
        }
    }

    // Writes the rows of a tile in whole vectors. Each row overwrites the surplus of the one before.
    template <class Load>
    FUSEDRNN_INLINE static void pack_rows(Index count, Index rows, T* to, T* sums, Load load) {
        V sum[padded_row / V::width];
#pragma GCC unroll 8
        for (Index j = 0; j < padded_row; j += V::width) sum[j / V::width] = V::load(sums + j);
#pragma GCC unroll 8
        for (Index i = 0; i < count; ++i)
#pragma GCC unroll 8
            for (Index j = 0; j < padded_row; j += V::width) {
                const V v = load(i, j);
                v.store(to + i * rows + j);
                sum[j / V::width] = sum[j / V::width] + v;
            }
#pragma GCC unroll 8
        for (Index j = 0; j < padded_row; j += V::width) sum[j / V::width].store(sums + j);
    }

    static void pack_b(const T* const* b, Index column, Index lanes, Index depth, T* out) {
        for (Index k = 0; k < depth; ++k)
            for (Index j = 0; j < lanes; j += V::width)
                load_lanes<V>(b[k] + column + j, lanes - j).store(out + b_offset(j) + k * b_k_stride);
    }

    // Where column j of a packed panel of b begins: its micro-panels lie side by side, or one after the other.
    FUSEDRNN_INLINE static Index b_offset(Index j) {
        return interleaved<T> ? j : j / unit_block<T> * (reduction_block * unit_block<T>)+j % unit_block<T>;
    }

    static void run(const OuterArgs<T>& p) {
        for (Index k = last_block(p.rows); k >= 0; k -= reduction_block)
            block(p, k, p.rows - k < reduction_block ? p.rows - k : reduction_block);
    }

    // Columns [first, first + lanes) of an operand b. A row of its results is `stride` long.
    struct Panel {
        int operand;
        Index first, lanes, stride;
    };

    static void block(const OuterArgs<T>& p, Index k, Index depth) {
        T* packed = align(p.scratch);
        Panel panels[tuning::outer_panels];
        Index count = 0;
        bool with_sums = true;
        for (int i = 0; i < p.b_count; ++i)
            for (Index n = 0; n < p.b[i].columns; n += panel_columns) {
                const Index remaining = p.b[i].columns - n;
                panels[count] = {i, n, remaining < panel_columns ? remaining : panel_columns, p.b[i].columns};
                pack_b(p.b[i].b + k, n, panels[count].lanes, depth, packed + count * panel_size);
                if (++count < tuning::outer_panels) continue;
                times_packed_b(p, k, depth, panels, count, with_sums);
                count = 0;
                with_sums = false;
            }
        if (count > 0 || with_sums) times_packed_b(p, k, depth, panels, count, with_sums);
    }

    // Chunk after chunk of a times the packed panels.
    static void times_packed_b(const OuterArgs<T>& p, Index k, Index depth, const Panel* panels, Index panel_count,
                               bool with_sums) {
        const T* packed_b = align(p.scratch);
        T* packed = align(p.scratch) + panel_count * panel_size;
        for (int i = 0; i < p.a_part_count; ++i) {
            const OuterPartOfA<T>& part = p.a_parts[i];
            bool used = with_sums;
            for (Index j = 0; j < panel_count; ++j) used = used || part.out[panels[j].operand];
            for (Index m = 0; used && m < part.count; m += outer_chunk<T>) {
                const Index count = part.count - m < outer_chunk<T> ? part.count - m : outer_chunk<T>;
                pack_chunk(p.a + k, part, m, depth, count, packed, with_sums);
                for (Index j = 0; j < panel_count; ++j)
                    if (part.out[panels[j].operand])
                        chunk(panels[j], part, m, count, depth, packed, packed_b + j * panel_size);
            }
        }
    }

    static void pack_chunk(const T* const* a, const OuterPartOfA<T>& part, Index m, Index depth, Index count, T* packed,
                           bool with_sums) {
        alignas(cache_line) T sums[padded_sums] = {};
        pack_a(a, part.first + m, depth, count, packed, sums);
        if (!with_sums) return;
        for (T* out : part.sums) {
            if (!out) continue;
            const T* sum = sums;
            for_each_row_tile(count, max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                for (Index r = 0; r < rows; ++r) out[m + first + r] += sum[r];
                sum += padded_row;
            });
        }
    }

    // The tiles of a chunk and a panel.
    static void chunk(const Panel& panel, const OuterPartOfA<T>& part, Index m, Index count, Index depth, T* packed,
                      const T* packed_b) {
        const Index stride = panel.stride;
        for (Index j = 0; j * V::width < panel.lanes; j += max_vectors) {
            T* out = part.out[panel.operand] + m * stride + panel.first + j * V::width;
            const Index lanes_to_end = panel.lanes - j * V::width;
            const Index vectors = ceil_div(lanes_to_end, V::width);
            const T* tile = packed;
            for_each_row_tile(count, max_rows, [&](Index first, Index rows) FUSEDRNN_LAMBDA {
                any_tile(rows, vectors < max_vectors ? vectors : max_vectors, tile, packed_b + b_offset(j * V::width),
                         depth, out + first * stride, stride, lanes_to_end);
                tile += packed_size(rows, depth);
            });
        }
    }
};

}  // namespace
}  // namespace fusedrnn::FUSEDRNN_ISA
