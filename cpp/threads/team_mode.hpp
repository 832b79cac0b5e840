// For tests: teams whose size does not depend on the machine's state, or changes all the time.
#pragma once

namespace fusedrnn {

enum class TeamMode : int {
    adaptive,  // the default: as many threads as get a processor
    fixed,     // as many as are asked for, whatever that costs
    random     // teams shrink, grow and end by chance
};

TeamMode team_mode();
void set_team_mode(TeamMode mode);

// True once in about `one_in` times.
bool chance(int one_in);

}  // namespace fusedrnn
