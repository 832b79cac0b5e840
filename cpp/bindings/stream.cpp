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
    TypedStream(const NetworkSpec& spec, Index rows, StreamSource<T> source)
        : spec_(spec), rows_(rows), long_(is_long(forward_work(spec, 1, rows))), source_(std::move(source)),
          seen_(*source_.version), stream_(source_.make()) {}

    Index batch_size() const override { return rows_; }

    // Takes the network's weights as they are now; the state stays.
    void refresh() override {
        seen_ = *source_.version;
        std::unique_ptr<Stream<T>> renewed = source_.make();
        const std::lock_guard lock(mutex_);
        std::copy_n(stream_->h(), spec_.layers * rows_ * width(), renewed->h());
        if (stream_->c()) std::copy_n(stream_->c(), spec_.layers * rows_ * spec_.hidden_size, renewed->c());
        stream_ = std::move(renewed);
    }

    py::object step(const py::object& x, const py::object& out) override {
        if (*source_.version != seen_) refresh();
        if (source_.token_count) return step_tokens(x, out);
        const py::array input = require_array(x, "x", type_of<T>());
        const bool single = input.ndim() == 1 && rows_ == 1;
        check_rows(input, "x", single, spec_.input_size);
        const py::array from = with_contiguous_rows<T>(input);
        const Index stride = single ? spec_.input_size : from.strides(0) / static_cast<Index>(sizeof(T));
        const T* const data = data_of<T>(from);
        return written(out, single ? Shape{width()} : Shape{rows_, width()},
                       [&](T* y) { run(long_, [&] { stream_->step(data, stride, y); }); });
    }

    // (T, B, I), or of tokens (T, B): T steps.
    py::object process(const py::object& x, const py::object& out) override {
        if (*source_.version != seen_) refresh();
        const bool tokens = source_.token_count != 0;
        const py::array input = require_array(x, "x", tokens ? type_of<std::int64_t>() : type_of<T>());
        if (input.ndim() != (tokens ? 2 : 3) || input.shape(1) != rows_ ||
            (!tokens && input.shape(2) != spec_.input_size))
            wrong_shape("x",
                        "(T, " + std::to_string(rows_) + (tokens ? ")" : ", " + std::to_string(spec_.input_size) + ")"),
                        input);
        const Index steps = input.shape(0);
        const bool is_long_call = is_long(forward_work(spec_, steps, rows_));
        const Index step_size = rows_ * width();
        const Shape shape = {steps, rows_, width()};
        if (tokens) {
            const py::array from = contiguous<std::int64_t>(input);
            const std::int64_t* const data = require_below(from, "x", "tokens", source_.token_count).data();
            return written(out, shape, [&](T* y) {
                run(is_long_call, [&] {
                    for (Index t = 0; t < steps; ++t) stream_->step_tokens(data + t * rows_, y + t * step_size);
                });
            });
        }
        const py::array from = with_contiguous_rows<T>(input);
        const View<const T> view = view_of<T>(from, false);
        return written(out, shape, [&](T* y) {
            run(is_long_call, [&] {
                for (Index t = 0; t < steps; ++t) stream_->step(view.at(t, 0), view.batch_stride, y + t * step_size);
            });
        });
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

    using Shape = std::vector<Index>;

    py::object step_tokens(const py::object& x, const py::object& out) {
        const py::array input = require_array(x, "x", type_of<std::int64_t>());
        require_shape(input, "x", {rows_});
        const py::array from = contiguous<std::int64_t>(input);
        const std::int64_t* const data = require_below(from, "x", "tokens", source_.token_count).data();
        return written(out, {rows_, width()}, [&](T* y) { run(long_, [&] { stream_->step_tokens(data, y); }); });
    }

    // `out`, or a new array where there is none, after write(y) has written y.
    template <class Write>
    py::object written(const py::object& out, const Shape& shape, Write write) {
        if (out.is_none()) {
            py::array_t<T> y(std::vector<py::ssize_t>(shape.begin(), shape.end()));
            write(y.mutable_data());
            return y;
        }
        const py::array to = require_array(out, "out", type_of<T>());
        require_shape(to, "out", shape);
        require_writeable(to, "out");
        const py::array target = contiguous<T>(to);
        write(mutable_data_of<T>(target));
        if (!target.is(to)) to.attr("__setitem__")(py::ellipsis(), target);
        return out;
    }

    template <class Work>
    void run(bool lets_go, Work work) {
        if (!lets_go && mutex_.try_lock()) {
            const std::lock_guard lock(mutex_, std::adopt_lock);
            work();
            return;
        }
        const ReleasedGil released;
        const std::lock_guard lock(mutex_);  // taken without the GIL, so that no two threads wait for each other
        work();
    }

    const NetworkSpec spec_;
    const Index rows_;
    const bool long_;  // a step: it lets go of the GIL
    const StreamSource<T> source_;
    std::uint64_t seen_;  // the version of the weights that it has
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

PyObject* process(PyObject* self, PyObject* const* values, Py_ssize_t positional, PyObject* keywords) {
    return as_result([&] {
        static constexpr Signature<2> signature = {"process", {"x", "out"}, 1};
        const auto [x, out] = arguments_by_name(signature, values, positional, keywords);
        return owned<PyStream>(self).process(or_none(x), or_none(out));
    });
}

}  // namespace

template <class T>
std::unique_ptr<PyStream> make_stream(const NetworkSpec& spec, Index batch_size, StreamSource<T> source) {
    return std::make_unique<TypedStream<T>>(spec, batch_size, std::move(source));
}
template std::unique_ptr<PyStream> make_stream(const NetworkSpec&, Index, StreamSource<float>);
template std::unique_ptr<PyStream> make_stream(const NetworkSpec&, Index, StreamSource<double>);

void register_stream(py::module_& module) {
    using py::arg;
    static PyMethodDef step_method =
        vectorcall_method("step", step, "step(self: fusedrnn._core.Stream, x: object, out: object = None) -> object\n");
    using Self = Owned<PyStream>;
    py::class_<Self> type(module, "Stream", py::is_final());
    static PyMethodDef process_method = vectorcall_method(
        "process", process, "process(self: fusedrnn._core.Stream, x: object, out: object = None) -> object\n");
    add_method(type, step_method);
    add_method(type, process_method);
    type.def_property_readonly("batch_size", [](const Self& self) { return self.object->batch_size(); })
        .def(
            "reset", [](Self& self, const py::object& rows) { self.object->reset(rows); }, arg("rows") = py::none())
        .def("refresh", [](Self& self) { self.object->refresh(); })
        .def("get_state", [](Self& self) { return self.object->get_state(); })
        .def(
            "set_state", [](Self& self, const py::object& h, const py::object& c) { self.object->set_state(h, c); },
            arg("h"), arg("c") = py::none());
    seal(type, nullptr);
}

}  // namespace fusedrnn::bindings
