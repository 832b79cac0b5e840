// The stream as Python sees it, whatever its dtype.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "bindings/arrays.hpp"
#include "fusedrnn/network.hpp"

namespace fusedrnn::bindings {

class PyStream {
public:
    virtual ~PyStream() = default;
    virtual Index batch_size() const = 0;
    virtual py::object step(const py::object& x, const py::object& out) = 0;
    virtual py::object process(const py::object& x, const py::object& out) = 0;
    virtual void refresh() = 0;
    virtual void reset(const py::object& rows) = 0;
    virtual py::tuple get_state() = 0;
    virtual void set_state(const py::object& h, const py::object& c) = 0;
};

// Where the weights of a stream come from: a number that changes with them, and a new stream of the network, its state
// zeros, with what they are now.
template <class T>
struct StreamSource {
    std::shared_ptr<const std::uint64_t> version;
    std::function<std::unique_ptr<Stream<T>>()> make;
    Index token_count;  // 0: it is stepped by x
};

template <class T>
std::unique_ptr<PyStream> make_stream(const NetworkSpec& spec, Index batch_size, StreamSource<T> source);

}  // namespace fusedrnn::bindings
