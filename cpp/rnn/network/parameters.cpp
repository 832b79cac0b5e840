// The parameters of a network: their names, shapes and order.
#include <array>

#include "fusedrnn/network.hpp"

namespace fusedrnn {
namespace {

// A parameter that a layer has once in each direction, unless `exists` is false.
struct LayerParameter {
    const char* name;
    Index ParameterSlots::* slot;
    Index rows, columns;
    bool exists;
};

// In torch.nn's order.
std::array<LayerParameter, 5> layer_parameters(const NetworkSpec& spec, Index layer) {
    const Index gate_rows = spec.traits().gates * spec.hidden_size;
    return {{
        {"weight_ih", &ParameterSlots::w_ih, gate_rows, spec.layer_input(layer), true},
        {"weight_hh", &ParameterSlots::w_hh, gate_rows, spec.recurrent_size(), true},
        {"bias_ih", &ParameterSlots::b_ih, gate_rows, 0, spec.bias},
        {"bias_hh", &ParameterSlots::b_hh, gate_rows, 0, spec.bias},
        {"weight_hr", &ParameterSlots::w_hr, spec.proj_size, spec.hidden_size, spec.proj_size > 0},
    }};
}

}  // namespace

std::vector<Parameter> parameters(const NetworkSpec& spec) {
    std::vector<Parameter> all;
    for (Index layer = 0; layer < spec.layers; ++layer)
        for (Index direction = 0; direction < spec.directions(); ++direction) {
            const std::string suffix = "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
            for (const LayerParameter& each : layer_parameters(spec, layer))
                if (each.exists) all.push_back({each.name + suffix, each.rows, each.columns});
        }
    return all;
}

ParameterSlots parameter_slots(const NetworkSpec& spec, Index layer, Index direction) {
    const auto described = layer_parameters(spec, layer);
    Index count = 0;
    for (const LayerParameter& each : described) count += each.exists;
    Index next = (layer * spec.directions() + direction) * count;
    ParameterSlots slots = {};
    for (const LayerParameter& each : described) slots.*each.slot = each.exists ? next++ : -1;
    return slots;
}

}  // namespace fusedrnn
