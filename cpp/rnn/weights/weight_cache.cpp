// Notices a change of the parameters by their fingerprints, and packs again only then.
#include "rnn/weights/weight_cache.hpp"

#include "dispatch/dispatch.hpp"

namespace fusedrnn {

template <class T>
WeightCache<T>::WeightCache(const NetworkSpec& spec) : spec_(spec) {
    for (const Parameter& parameter : parameters(spec))
        param_bytes_.push_back(static_cast<std::size_t>(parameter.size()) * sizeof(T));
}

// One that nobody else holds, to be packed anew.
template <class T>
PackedNetwork<T>& WeightCache<T>::Kept::renewed() {
    if (packed && packed.use_count() > 1) std::swap(packed, other);
    if (!packed || packed.use_count() > 1) packed = std::make_shared<PackedNetwork<T>>();
    // After whoever let go of it last: that was a releasing decrement of the count, and so are this copy's two changes
    // of it.
    std::shared_ptr<PackedNetwork<T>>(packed).reset();
    return *packed;
}

template <class T>
std::shared_ptr<const PackedNetwork<T>> WeightCache<T>::get(const std::vector<const T*>& params, bool with_backward) {
    const KernelTable& table = current_kernels();
    const auto fingerprints_now = [&] {
        std::vector<std::uint64_t> fingerprints(params.size());
        for (std::size_t i = 0; i < params.size(); ++i) fingerprints[i] = table.fingerprint(params[i], param_bytes_[i]);
        return fingerprints;
    };
    std::vector<std::uint64_t> fingerprints = fingerprints_now();
    const typename ForkSafe<Kept>::Locked kept(kept_);
    const bool backward = with_backward || (kept->packed && kept->packed->with_backward());
    if (!kept->packed || fingerprints != kept->fingerprints || backward != kept->packed->with_backward() ||
        &kept->packed->kernels() != &kernels_of<T>(table)) {
        kept->fingerprints.clear();
        try {
            kept->renewed().pack(table, spec_, params, backward);
        } catch (...) {
            kept->packed.reset();  // out of memory: a call without backward may need less
            throw;
        }
        // What another thread changed meanwhile may be packed in part: then the next call packs again.
        if (fingerprints == fingerprints_now()) kept->fingerprints = std::move(fingerprints);
    }
    return kept->packed;
}

template class WeightCache<float>;
template class WeightCache<double>;

}  // namespace fusedrnn
