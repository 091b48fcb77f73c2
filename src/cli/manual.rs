//! `hark manual`: the manual pages, made from the arguments and their help.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{Args as ClapArgs, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::output::Out;
use super::{Cli, Failure};

const EXAMPLES: &str = "\
Examples:
  hark manual | man -l -
  hark manual --dir ~/.local/share/man/man1

With --dir there is a page for hark and one for each subcommand: hark.1, hark-run.1, ...";

const FILES: [(&str, &str); 4] = [
    (
        "./config.toml, $XDG_CONFIG_HOME/hark/config.toml, /etc/hark/config.toml",
        "The configuration: the first of these that exists. Every key is explained in the config.toml that comes with the program.",
    ),
    (
        "$XDG_DATA_HOME/hark/models",
        "Models, unless HARK_MODELS says where, or hark is run in its source.",
    ),
    (
        "$STATE_DIRECTORY, $XDG_STATE_HOME/hark",
        "What outlives a restart: the first of these that is set, or else ~/.local/state/hark.",
    ),
    (
        "$RUNTIME_DIRECTORY/hark.sock, $XDG_RUNTIME_DIR/hark.sock",
        "The control socket of a running hark run.",
    ),
];

const ENVIRONMENT: [(&str, &str); 3] = [
    ("HARK_MODELS", "The folder that holds the models."),
    (
        "HARK_SIMD",
        "Lowers the choice of arithmetic kernels: scalar, avx2, neon and others.",
    ),
    (
        "NO_COLOR",
        "When it is set, nothing on standard error is coloured.",
    ),
];

/// The manual pages, made from these arguments
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write all pages into this folder, which is made if need be [default: hark's own page, to
    /// standard output]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let pages = pages().map_err(|error| Failure::output("memory", &error))?;
    if let Some(dir) = &args.dir {
        return write(&pages, dir);
    }
    let mut out = Out::stdout();
    if let Some(page) = pages.first() {
        out.write(&page.text)?;
    }
    out.flush()
}

fn write(pages: &[Page], dir: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error| Failure::output(&path.display().to_string(), &error);
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    for page in pages {
        let path = dir.join(&page.file);
        std::fs::write(&path, &page.text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

struct Page {
    file: String,
    text: String,
}

/// hark's own page, and behind it those of the subcommands, each before its own.
fn pages() -> io::Result<Vec<Page>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Gives the subcommands their full names and the global options.
    root.build();
    let mut pages = Vec::new();
    add(&root, None, &mut pages)?;
    Ok(pages)
}

/// The page of `command` and those of its subcommands; `above` is the page it belongs to.
fn add(command: &Command, above: Option<&str>, to: &mut Vec<Page>) -> io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let help = command.get_after_help().map(ToString::to_string);
    let mut text = Vec::new();
    // Its text would be set as one paragraph; ours keeps the lines of the examples.
    let plain = command.clone().after_help(Resettable::Reset);
    Man::new(plain)
        .source(concat!("hark ", env!("CARGO_PKG_VERSION")))
        .manual("hark")
        .render(&mut text)?;
    let mut roff = Roff::new();
    sections(&help.unwrap_or_default(), &mut roff);
    if above.is_none() {
        list(&mut roff, "FILES", &FILES);
        list(&mut roff, "ENVIRONMENT", &ENVIRONMENT);
    }
    if let Some(above) = above {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold(above), roman("(1)")]);
    }
    roff.to_writer(&mut text)?;
    to.push(Page {
        file: format!("{name}.1"),
        text: String::from_utf8_lossy(&text).into_owned(),
    });
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        add(below, Some(name), to)?;
    }
    Ok(())
}

/// The paragraphs below a command's help, each as the section it stands for.
fn sections(help: &str, roff: &mut Roff) {
    let mut in_notes = false;
    for paragraph in help.split("\n\n").filter(|p| !p.trim().is_empty()) {
        if let Some(examples) = paragraph.strip_prefix("Examples:\n") {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in examples.lines() {
                roff.text([bold(line.trim_start())]);
            }
            roff.control("fi", []);
            in_notes = false;
        } else if let Some(codes) = paragraph.strip_prefix("Exit codes: ") {
            let codes: Vec<(&str, &str)> = codes
                .split('·')
                .filter_map(|code| code.trim().split_once(' '))
                .collect();
            list(roff, "EXIT STATUS", &codes);
            in_notes = false;
        } else {
            match in_notes {
                true => roff.control("PP", []),
                false => roff.control("SH", ["NOTES"]),
            };
            in_notes = true;
            roff.text([roman(paragraph)]);
        }
    }
}

fn list(roff: &mut Roff, heading: &str, items: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, meaning) in items {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_a_page_with_its_sections() {
        let pages = pages().unwrap();
        assert_eq!(pages[0].file, "hark.1");
        for name in ["hark-run.1", "hark-models-pull.1", "hark-manual.1"] {
            assert!(pages.iter().any(|page| page.file == name), "no {name}");
        }
        for heading in ["SYNOPSIS", "EXIT STATUS", "FILES", "ENVIRONMENT"] {
            assert!(pages[0].text.contains(heading), "{heading} is missing");
        }
        for page in &pages {
            assert!(page.text.contains("\n.TH "), "{}", page.file);
            assert!(page.text.contains("\n.SH NAME\n"), "{}", page.file);
            let has_above = page.text.contains("\n.SH \"SEE ALSO\"\n");
            assert_eq!(has_above, page.file != "hark.1", "{}", page.file);
        }
    }

    #[test]
    fn examples_keep_their_lines() {
        let mut roff = Roff::new();
        let help = "Examples:\n  hark x --y 'z'\n  hark w\n\nOne note.\nOf two lines.\n\nAnother.";
        sections(help, &mut roff);
        let expected = ".SH EXAMPLES\n.nf\n\\fBhark x \\-\\-y 'z'\\fR\n\\fBhark w\\fR\n.fi\n.SH NOTES\nOne note.\nOf two lines.\n.PP\nAnother.\n";
        assert_eq!(roff.to_roff(), expected);
    }
}
