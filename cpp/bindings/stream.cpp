// Streams as Python sees them: one time step per call, without an allocation.
#include "bindings/stream.hpp"

#include <algorithm>
#include <mutex>
#include <string>

#include "bindings/compute.hpp"
#include "bindings/owned.hpp"
#include "bindings/register.hpp"
#include "bindings/vectorcall.hpp"
#include "threads/fork_safe_mutex.hpp"

namespace fusedrnn::bindings {
namespace {

template <class T>
class TypedStream final : public PyStream {
public:
    TypedStream(const NetworkSpec& spec, Index rows, std::unique_ptr<Stream<T>> stream)
        : spec_(spec), rows_(rows), long_(is_long(forward_work(spec, 1, rows))), stream_(std::move(stream)) {}

    Index batch_size() const override { return rows_; }

    py::object step(const py::object& x, const py::object& out) override {
        const py::array input = require_array(x, "x", type_of<T>());
        const bool single = input.ndim() == 1 && rows_ == 1;
        check_rows(input, "x", single, spec_.input_size);
        const py::array from = with_contiguous_rows<T>(input);
        const Index stride = single ? spec_.input_size : from.strides(0) / static_cast<Index>(sizeof(T));
        if (out.is_none()) {
            py::array_t<T> y = single ? empty<T>({width()}) : empty<T>({rows_, width()});
            run(data_of<T>(from), stride, y.mutable_data());
            return y;
        }
        const py::array to = require_array(out, "out", type_of<T>());
        check_rows(to, "out", single, width());
        require_writeable(to, "out");
        const py::array target = contiguous<T>(to);
        run(data_of<T>(from), stride, mutable_data_of<T>(target));
        if (!target.is(to)) to.attr("__setitem__")(py::ellipsis(), target);
        return out;
    }

    void reset(const py::object& rows) override {
        if (rows.is_none()) {
            const std::lock_guard lock(mutex_);
            std::fill_n(stream_->h(), spec_.layers * rows_ * width(), T(0));
            if (stream_->c()) std::fill_n(stream_->c(), spec_.layers * rows_ * spec_.hidden_size, T(0));
            return;
        }
        const py::array mask = require_array(rows, "rows", type_of<bool>());
        require_shape(mask, "rows", {rows_});
        const py::array flat = contiguous<std::uint8_t>(mask);
        const std::lock_guard lock(mutex_);
        for (Index row = 0; row < rows_; ++row) {
            if (!data_of<std::uint8_t>(flat)[row]) continue;
            for (Index layer = 0; layer < spec_.layers; ++layer) {
                const Index at = layer * rows_ + row;
                std::fill_n(stream_->h() + at * width(), width(), T(0));
                if (stream_->c()) std::fill_n(stream_->c() + at * spec_.hidden_size, spec_.hidden_size, T(0));
            }
        }
    }

    py::tuple get_state() override {
        py::array_t<T> h = empty<T>({spec_.layers, rows_, width()});
        const bool has_cell_state = spec_.traits().has_cell_state;
        py::array_t<T> c = empty<T>({has_cell_state ? spec_.layers : 0, rows_, spec_.hidden_size});
        {
            const std::lock_guard lock(mutex_);
            std::copy_n(stream_->h(), h.size(), h.mutable_data());
            if (has_cell_state) std::copy_n(stream_->c(), c.size(), c.mutable_data());
        }
        return py::make_tuple(h, has_cell_state ? py::object(c) : py::none());
    }

    void set_state(const py::object& h, const py::object& c) override {
        const py::array new_h = require_array(h, "state (h)", type_of<T>());
        require_shape(new_h, "state (h)", {spec_.layers, rows_, width()});
        const py::array h_from = contiguous<T>(new_h);
        if (!stream_->c()) {
            if (!c.is_none()) no_cell_state("state (c)", "None", spec_);
            const std::lock_guard lock(mutex_);
            std::copy_n(data_of<T>(h_from), new_h.size(), stream_->h());
            return;
        }
        const py::array new_c = require_array(c, "state (c)", type_of<T>());
        require_shape(new_c, "state (c)", {spec_.layers, rows_, spec_.hidden_size});
        const py::array c_from = contiguous<T>(new_c);
        const std::lock_guard lock(mutex_);
        std::copy_n(data_of<T>(h_from), new_h.size(), stream_->h());
        std::copy_n(data_of<T>(c_from), new_c.size(), stream_->c());
    }

private:
    Index width() const { return spec_.recurrent_size(); }

    void check_rows(const py::array& array, const char* name, bool single, Index expected) const {
        if (single ? array.ndim() == 1 && array.shape(0) == expected
                   : array.ndim() == 2 && array.shape(0) == rows_ && array.shape(1) == expected)
            return;
        wrong_shape(name, shape_text(single ? std::vector<Index>{expected} : std::vector<Index>{rows_, expected}),
                    array);
    }

    void run(const T* x, Index stride, T* y) {
        if (!long_ && mutex_.try_lock()) {
            const std::lock_guard lock(mutex_, std::adopt_lock);
            stream_->step(x, stride, y);
            return;
        }
        const ReleasedGil released;
        const std::lock_guard lock(mutex_);  // taken without the GIL, so that no two threads wait for each other
        stream_->step(x, stride, y);
    }

    const NetworkSpec spec_;
    const Index rows_;
    const bool long_;  // a step: it lets go of the GIL
    std::unique_ptr<Stream<T>> stream_;
    // Who holds it calls nothing of Python's, which might let another thread run: that one could wait here with the
    // GIL. What it protects is whole whenever Python forks: a step leaves the state as it was until its end, and the
    // others have the GIL.
    ForkSafeMutex mutex_;
};

PyObject* step(PyObject* self, PyObject* const* values, Py_ssize_t positional, PyObject* keywords) {
    return as_result([&] {
        static constexpr Signature<2> signature = {"step", {"x", "out"}, 1};
        const auto [x, out] = arguments_by_name(signature, values, positional, keywords);
        return owned<PyStream>(self).step(or_none(x), or_none(out));
    });
}

}  // namespace

template <class T>
std::unique_ptr<PyStream> make_stream(const NetworkSpec& spec, Index batch_size, std::unique_ptr<Stream<T>> stream) {
    return std::make_unique<TypedStream<T>>(spec, batch_size, std::move(stream));
}
template std::unique_ptr<PyStream> make_stream(const NetworkSpec&, Index, std::unique_ptr<Stream<float>>);
template std::unique_ptr<PyStream> make_stream(const NetworkSpec&, Index, std::unique_ptr<Stream<double>>);

void register_stream(py::module_& module) {
    using py::arg;
    static PyMethodDef step_method =
        vectorcall_method("step", step, "step(self: fusedrnn._core.Stream, x: object, out: object = None) -> object\n");
    using Self = Owned<PyStream>;
    py::class_<Self> type(module, "Stream", py::is_final());
    add_method(type, step_method);
    type.def_property_readonly("batch_size", [](const Self& self) { return self.object->batch_size(); })
        .def(
            "reset", [](Self& self, const py::object& rows) { self.object->reset(rows); }, arg("rows") = py::none())
        .def("get_state", [](Self& self) { return self.object->get_state(); })
        .def(
            "set_state", [](Self& self, const py::object& h, const py::object& c) { self.object->set_state(h, c); },
            arg("h"), arg("c") = py::none());
    seal(type, nullptr);
}

}  // namespace fusedrnn::bindings
