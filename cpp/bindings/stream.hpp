// The stream as Python sees it, whatever its dtype.
#pragma once

#include <memory>

#include "bindings/arrays.hpp"
#include "fusedrnn/network.hpp"

namespace fusedrnn::bindings {

class PyStream {
public:
    virtual ~PyStream() = default;
    virtual Index batch_size() const = 0;
    virtual py::object step(const py::object& x, const py::object& out) = 0;
    virtual void reset(const py::object& rows) = 0;
    virtual py::tuple get_state() = 0;
    virtual void set_state(const py::object& h, const py::object& c) = 0;
};

template <class T>
std::unique_ptr<PyStream> make_stream(const NetworkSpec& spec, Index batch_size, std::unique_ptr<Stream<T>> stream);

}  // namespace fusedrnn::bindings
