// The parameters of a network: their names, shapes and order.
#include "fusedrnn/network.hpp"

namespace fusedrnn {

std::vector<Parameter> parameters(const NetworkSpec& spec) {
    std::vector<Parameter> all;
    const Index gate_rows = spec.traits().gates * spec.hidden_size;
    for (Index layer = 0; layer < spec.layers; ++layer)
        for (Index direction = 0; direction < spec.directions(); ++direction) {
            const std::string suffix = "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
            all.push_back({"weight_ih" + suffix, gate_rows, spec.layer_input(layer)});
            all.push_back({"weight_hh" + suffix, gate_rows, spec.recurrent_size()});
            if (spec.bias) {
                all.push_back({"bias_ih" + suffix, gate_rows, 0});
                all.push_back({"bias_hh" + suffix, gate_rows, 0});
            }
            if (spec.proj_size) all.push_back({"weight_hr" + suffix, spec.proj_size, spec.hidden_size});
        }
    return all;
}

ParameterSlots parameter_slots(const NetworkSpec& spec, Index layer, Index direction) {
    const Index each = 2 + (spec.bias ? 2 : 0) + (spec.proj_size ? 1 : 0);
    const Index first = (layer * spec.directions() + direction) * each;
    return {first, first + 1, spec.bias ? first + 2 : -1, spec.bias ? first + 3 : -1,
            spec.proj_size ? first + each - 1 : -1};
}

}  // namespace fusedrnn
