// Packed weights, made once per change of the parameters or of the instruction set in force.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "dispatch/dispatch.hpp"
#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn {

struct ParameterBytes {
    const void* data;
    std::size_t size;
};

// A change is noticed by the parameters' fingerprints.
template <class Packed>
class PackedCache {
public:
    // The packed form of the parameters as they are now. pack(packed, table, with_backward) makes it where it is
    // needed; once a backward pass was asked for, what that needs is packed too.
    template <class Pack>
    std::shared_ptr<const Packed> get(std::span<const ParameterBytes> params, bool with_backward, Pack pack) {
        const KernelTable& table = current_kernels();
        const auto fingerprints_now = [&] {
            std::vector<std::uint64_t> fingerprints;
            for (const ParameterBytes& param : params)
                fingerprints.push_back(table.fingerprint(param.data, param.size));
            return fingerprints;
        };
        std::vector<std::uint64_t> fingerprints = fingerprints_now();
        const typename ForkSafe<Kept>::Locked kept(kept_);
        const bool backward = with_backward || (kept->packed && kept->with_backward);
        if (kept->packed && fingerprints == kept->fingerprints && backward == kept->with_backward &&
            kept->table == &table)
            return kept->packed;
        kept->fingerprints.clear();
        try {
            pack(kept->renewed(), table, backward);
        } catch (...) {
            kept->packed.reset();  // out of memory: a call without backward may need less
            throw;
        }
        kept->table = &table;
        kept->with_backward = backward;
        // What another thread changed meanwhile may be packed in part: then the next call packs again.
        if (fingerprints == fingerprints_now()) kept->fingerprints = std::move(fingerprints);
        return kept->packed;
    }

    // What the last call has packed, if it can be used: for callers who know that no parameter has changed. Else null.
    std::shared_ptr<const Packed> latest(bool with_backward) {
        const KernelTable& table = current_kernels();
        const typename ForkSafe<Kept>::Locked kept(kept_);
        if (kept->fingerprints.empty() || kept->table != &table || (with_backward && !kept->with_backward)) return {};
        return kept->packed;
    }

    // The next call looks at the parameters, and packs them.
    void forget() {
        const typename ForkSafe<Kept>::Locked kept(kept_);
        kept->fingerprints.clear();
    }

private:
    // Empty in a child that forked while another thread packed: what was half-packed is packed again.
    struct Kept {
        std::vector<std::uint64_t> fingerprints;
        const KernelTable* table = nullptr;
        bool with_backward = false;
        std::shared_ptr<Packed> packed;
        std::shared_ptr<Packed> other;  // what a training loop's last tape held: its memory takes the next turn

        // One that nobody else holds, to be packed anew.
        Packed& renewed() {
            if (packed && packed.use_count() > 1) std::swap(packed, other);
            if (!packed || packed.use_count() > 1) packed = std::make_shared<Packed>();
            // After whoever let go of it last: that was a releasing decrement of the count, and so are this copy's two
            // changes of it.
            std::shared_ptr<Packed>(packed).reset();
            return *packed;
        }
    };

    // Held while packing: other calls need the same weights. Who packs waits for nothing of Python's meanwhile.
    ForkSafe<Kept> kept_;
};

}  // namespace fusedrnn
