// Work that goes element by element over arrays.
#pragma once

#include <algorithm>
#include <vector>

#include "dispatch/work.hpp"

namespace fusedrnn {

// Elements that a thread takes at a time; a sum over an array is made of the sums of so many. Even: a pair of elements
// of a dropout mask is not divided.
inline constexpr Index chunk = Index{1} << 15;

// visit(array, first element, count, number of the chunk) for all chunks of the arrays, on as many threads as they are
// worth.
template <class Counts, class Visit>
void for_each_chunk(std::size_t arrays, const Counts& count_of, Visit visit) {
    struct Chunk {
        std::size_t array;
        Index first, count;
    };
    std::vector<Chunk> chunks;
    Index elements = 0;
    for (std::size_t i = 0; i < arrays; ++i) {
        elements += count_of(i);
        for (Index first = 0; first < count_of(i); first += chunk)
            chunks.push_back({i, first, std::min(chunk, count_of(i) - first)});
    }
    const int threads = threads_for_elements(elements);
    auto body = [&](int, const Team& team) {
        const Range part = part_of(static_cast<Index>(chunks.size()), team.index, team.size);
        for (Index i = part.begin; i < part.end; ++i) {
            const Chunk& one = chunks[static_cast<std::size_t>(i)];
            visit(one.array, one.first, one.count, static_cast<std::size_t>(i));
        }
    };
    for_shares({threads}, threads, body);
}

}  // namespace fusedrnn
