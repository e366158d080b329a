// The tree of commands and options, which `stele completion` describes to shells.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "client/cli/context.h"

namespace stele::client::cli {

// REQUIRES: *context outlives the result.
std::unique_ptr<CLI::App> BuildApp(Context* context);

// The scripts that shells source; `app` is the whole command line.
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
std::string FishCompletion(const CLI::App& app);

}  // namespace stele::client::cli
