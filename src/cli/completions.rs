//! `hark completions`: what a shell needs to complete hark's arguments, made from the arguments.

use clap::{Args as ClapArgs, CommandFactory, ValueEnum};

use super::output::Out;
use super::{Cli, Failure};

const EXAMPLES: &str = "\
Examples:
  source <(hark completions bash)
  hark completions bash > ~/.local/share/bash-completion/completions/hark
  hark completions zsh > ~/.zfunc/_hark
  hark completions fish > ~/.config/fish/completions/hark.fish

`make install` and the Debian package put them in place. zsh looks in the folders of $fpath.";

/// Completions of a shell, to standard output
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut out = Out::stdout();
    out.write(&script(args.shell))?;
    out.flush()
}

fn script(shell: Shell) -> String {
    use clap_complete::Shell as Target;
    let target = match shell {
        Shell::Bash => Target::Bash,
        Shell::Zsh => Target::Zsh,
        Shell::Fish => Target::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(target, &mut Cli::command(), "hark", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_subcommand() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell:?} lacks {name}");
            }
            assert!(script.contains("config"), "{shell:?}");
        }
    }
}
