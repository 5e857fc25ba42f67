// SPDX-License-Identifier: Apache-2.0
// Where things live, after the XDG base directory specification. Nothing is created here.
#pragma once

#include <string>

namespace lamina {

std::string config_directory();  // $XDG_CONFIG_HOME/lamina, else ~/.config/lamina
std::string cache_directory();   // $XDG_CACHE_HOME/lamina, else ~/.cache/lamina
std::string data_directory();    // $XDG_DATA_HOME/lamina, else ~/.local/share/lamina
std::string state_directory();   // $XDG_STATE_HOME/lamina, else ~/.local/state/lamina

}  // namespace lamina
