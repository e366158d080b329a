// `completion bash|zsh|fish`: scripts made from the tree of commands, so they cannot fall behind
// it.
#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/app.h"

namespace stele::client::cli {
namespace {

// The option's names as they are typed, e.g. {"-k", "--k"}; empty for positionals.
std::vector<std::string> NamesOf(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<std::string> OptionNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (std::string& name : NamesOf(*option)) names.push_back(std::move(name));
  }
  return names;
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// Calls `visit` with each command and its path, "" for the program itself, "collection create" etc.
void Walk(const CLI::App& app, const std::string& path,
          const std::function<void(const std::string&, const CLI::App&)>& visit) {
  visit(path, app);
  for (const CLI::App* command : app.get_subcommands({})) {
    Walk(*command, absl::StrCat(path, path.empty() ? "" : " ", command->get_name()), visit);
  }
}

std::string Quote(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// Values that are words rather than files.
constexpr char kBashValues[] =
    "    --metric) COMPREPLY=($(compgen -W 'cosine l2 dot' -- \"$word\")); return ;;\n"
    "    --format) COMPREPLY=($(compgen -W 'jsonl npy fvecs' -- \"$word\")); return ;;\n";

absl::Status RunCompletion(const CLI::App& app, const std::string& shell) {
  const std::string script = shell == "bash"  ? BashCompletion(app)
                             : shell == "zsh" ? ZshCompletion(app)
                                              : FishCompletion(app);
  std::fwrite(script.data(), 1, script.size(), stdout);
  return absl::OkStatus();
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  std::string cases;
  const std::vector<std::string> global = OptionNames(app);
  Walk(app, "", [&](const std::string& path, const CLI::App& command) {
    std::vector<std::string> words = CommandNames(command);
    if (path == "completion") words = {"bash", "zsh", "fish"};
    const std::string options = absl::StrJoin(path.empty() ? global : OptionNames(command), " ");
    absl::StrAppend(&cases, "    '", path, "') commands='", absl::StrJoin(words, " "),
                    "' options='", options, "' ;;\n");
  });
  return absl::StrCat(
      "# bash completion of stele: source <(stele completion bash)\n"
      "_stele() {\n"
      "  local word=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
      "  local path='' commands='' options='' i candidate\n"
      "  case \"$previous\" in\n",
      kBashValues,
      "  esac\n"
      "  for ((i = 1; i <= COMP_CWORD; i++)); do\n"
      "    case \"$path\" in\n",
      cases,
      "    esac\n"
      "    ((i == COMP_CWORD)) && break\n"
      "    candidate=\"${COMP_WORDS[i]}\"\n"
      "    [[ \" $commands \" == *\" $candidate \"* && \"$path\" != completion ]] &&\n"
      "      path=\"${path:+$path }$candidate\"\n"
      "  done\n"
      "  if [[ \"$word\" == -* ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$options ",
      absl::StrJoin(global, " "),
      "\" -- \"$word\"))\n"
      "  elif [[ -n \"$commands\" ]]; then\n"
      "    COMPREPLY=($(compgen -W \"$commands\" -- \"$word\"))\n"
      "  else\n"
      "    COMPREPLY=($(compgen -f -- \"$word\"))\n"
      "  fi\n"
      "}\n"
      "complete -o filenames -F _stele stele\n");
}

std::string ZshCompletion(const CLI::App& app) {
  return absl::StrCat(
      "#compdef stele\n"
      "# zsh completion of stele: source <(stele completion zsh)\n"
      "autoload -U +X compinit && compinit -u\n"
      "autoload -U +X bashcompinit && bashcompinit\n",
      BashCompletion(app));
}

std::string FishCompletion(const CLI::App& app) {
  std::string script =
      "# fish completion of stele: stele completion fish | source\n"
      "function __stele_path\n"
      "  set -l path\n"
      "  for word in (commandline -opc)[2..]\n"
      "    string match -q -- '-*' $word; or set -a path $word\n"
      "  end\n"
      "  string join ' ' $path\n"
      "end\n"
      "function __stele_at\n"
      "  set -l path (__stele_path)\n"
      "  test \"$path\" = \"$argv[1]\"\n"
      "end\n"
      "function __stele_in\n"
      "  set -l path (__stele_path)\n"
      "  string match -q -- \"$argv[1]\" \"$path\"; or string match -q -- \"$argv[1] *\" "
      "\"$path\"\n"
      "end\n";
  Walk(app, "", [&script](const std::string& path, const CLI::App& command) {
    const std::string quoted_path = Quote(path);
    for (const CLI::App* child : command.get_subcommands({})) {
      absl::StrAppend(&script, "complete -c stele -f -n ", Quote("__stele_at " + quoted_path),
                      " -a ", child->get_name(), " -d ", Quote(child->get_description()), "\n");
    }
    for (const CLI::Option* option : command.get_options()) {
      std::string names;
      for (const std::string& name : option->get_snames()) absl::StrAppend(&names, " -s ", name);
      for (const std::string& name : option->get_lnames()) absl::StrAppend(&names, " -l ", name);
      if (names.empty()) continue;
      absl::StrAppend(&script, "complete -c stele");
      if (!path.empty()) {
        absl::StrAppend(&script, " -n ", Quote("__stele_in " + quoted_path));
      }
      absl::StrAppend(&script, names, option->get_expected_min() > 0 ? " -r" : "", " -d ",
                      Quote(option->get_description()), "\n");
    }
  });
  absl::StrAppend(&script,
                  "complete -c stele -f -n '__stele_at completion' -a 'bash zsh fish'\n"
                  "complete -c stele -x -n '__stele_in \"collection create\"' -l metric -a 'cosine "
                  "l2 dot'\n");
  return script;
}

void AddCompletionCommand(CLI::App* app, Context* context) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = AddCommand(app, "completion", "Print the completion script of a shell");
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  SetRun(command, context, [app, shell](Context&) { return RunCompletion(*app, *shell); });
}

}  // namespace stele::client::cli
