//! The rules of the tree that a compiler does not check: who imports whom, where `unsafe` and
//! the sound library may stand, how long a file may grow, and what must not be committed.
//!
//! The checks read the source as text: comments and literals are blanked first, and what follows
//! a file's `#[cfg(test)]` is not held to the import rule.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules by layer. A module imports from lower layers, and from its own unless the layer is
/// one of [`NO_SIBLINGS`].
const LAYERS: &[&[&str]] = &[
    &[
        "clock", "error", "event", "guard", "place", "process", "random", "stats",
    ],
    &["tensor", "quant", "kernels", "dsp"],
    &["format", "models", "nn", "text"],
    &["vad", "whisper", "llama"],
    &["audio", "command", "respond", "speech"],
    &["dialogue", "ledger", "pipeline", "config"],
    &["daemon", "cli"],
];
const NO_SIBLINGS: [usize; 2] = [3, 4];

const MAX_LINES: usize = 700;

#[test]
fn modules_import_downward_only() {
    let mut faults = Vec::new();
    for (path, source) in rust_files("src") {
        let Some(module) = module_of(&path) else {
            continue;
        };
        let Some(layer) = layer_of(&module) else {
            faults.push(format!("{}: module {module} has no layer", path.display()));
            continue;
        };
        if is_test_file(&path) {
            continue;
        }
        for target in imports(&code_before_tests(&blank(&source))) {
            if target == module {
                continue;
            }
            // A name that is no module is a macro or an item of the crate's root.
            let Some(below) = layer_of(&target) else {
                continue;
            };
            if below > layer || (below == layer && NO_SIBLINGS.contains(&layer)) {
                faults.push(format!(
                    "{}: {module} (layer {layer}) imports {target} (layer {below})",
                    path.display()
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn unsafe_and_intrinsics_stay_in_kernels() {
    let mut faults = Vec::new();
    for (path, source) in rust_files("src") {
        let code = blank(&source);
        let in_kernels = path.starts_with("src/kernels");
        for word in ["unsafe", "std::arch", "core::arch"] {
            if !in_kernels && has_word(&code, word) {
                faults.push(format!("{}: {word} outside src/kernels", path.display()));
            }
        }
        if has_word(&code, "unsafe_code") {
            let lent = code
                .matches("#[allow(unsafe_code)]\npub mod kernels;")
                .count();
            let uses = code.matches("unsafe_code").count();
            if path != Path::new("src/lib.rs") || lent != uses {
                faults.push(format!("{}: unsafe allowed beyond kernels", path.display()));
            }
        }
    }
    report(&faults);
}

#[test]
fn the_sound_library_is_named_in_audio_only() {
    let faults: Vec<_> = rust_files("src")
        .into_iter()
        .filter(|(path, _)| !path.starts_with("src/audio"))
        .filter(|(_, source)| has_word(&blank(source), "cpal"))
        .map(|(path, _)| format!("{}: cpal outside src/audio", path.display()))
        .collect();
    report(&faults);
}

#[test]
fn files_stay_readable() {
    let mut faults = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (path, source) in rust_files(folder) {
            let n_lines = source.lines().count();
            if n_lines > MAX_LINES {
                faults.push(format!(
                    "{}: {n_lines} lines, at most {MAX_LINES}",
                    path.display()
                ));
            }
        }
    }
    report(&faults);
}

#[test]
fn nothing_is_left_undone() {
    let mut faults = Vec::new();
    for (path, source) in rust_files("src") {
        for mark in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            if source.contains(mark) {
                faults.push(format!("{}: {mark}", path.display()));
            }
        }
    }
    report(&faults);
}

/// The tree must mean the same on every machine: no registry mirror, nobody's home folder.
#[test]
fn no_tracked_file_names_a_registry_or_a_machine_path() {
    // In pieces, so that this file passes its own test.
    let hosts = [
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
        concat!("crates", ".io"),
        concat!("registry.npm", "js"),
        concat!("deb.debian", ".org"),
    ];
    let paths = ["home", "root", "work", "Users"];
    let mut faults = Vec::new();
    for path in tracked_files() {
        // Cargo writes the name of its registry into the lock file.
        if path == Path::new("Cargo.lock") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root().join(&path)) else {
            continue; // not text
        };
        for (number, line) in text.lines().enumerate() {
            let at = format!("{}:{}", path.display(), number + 1);
            for host in hosts.iter().filter(|host| line.contains(**host)) {
                faults.push(format!("{at}: names {host}"));
            }
            for folder in paths.iter().filter(|folder| names_folder(line, folder)) {
                faults.push(format!("{at}: a path below /{folder}"));
            }
        }
    }
    report(&faults);
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All `.rs` files below `folder`, with their paths relative to the root.
fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    let mut files: Vec<_> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let source = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_path_buf(), source)
        })
        .collect();
    files.sort();
    files
}

fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                walk(&path, out);
            }
        } else {
            out.push(path);
        }
    }
}

/// What git tracks or would track; outside a checkout, every file but those built.
fn tracked_files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    if let Ok(output) = listed
        && output.status.success()
        && !output.stdout.is_empty()
    {
        let names = String::from_utf8(output.stdout).unwrap();
        let names = names.split('\0').filter(|name| !name.is_empty());
        return names.map(PathBuf::from).collect();
    }
    let mut paths = Vec::new();
    walk(root(), &mut paths);
    paths
        .into_iter()
        .map(|path| path.strip_prefix(root()).unwrap().to_path_buf())
        .collect()
}

/// The module a file of `src` belongs to; `None` for the roots `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let inner = path.strip_prefix("src").ok()?;
    let first = inner.iter().next()?.to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib" && module != "main").then(|| module.to_string())
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy();
    stem == "tests" || stem.ends_with("_tests") || path.iter().any(|part| part == "tests")
}

fn code_before_tests(code: &str) -> String {
    let lines = code.lines();
    let kept: Vec<_> = lines.take_while(|line| *line != "#[cfg(test)]").collect();
    kept.join("\n")
}

/// The first names of all paths that begin with `crate::`, groups in braces included.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let glued = code[..at].chars().next_back().is_some_and(is_word);
        if !glued {
            first_names(&code[at + "crate::".len()..], &mut found);
        }
    }
    found
}

/// The identifier at the start of `path`, or the first identifiers of each member of a group.
fn first_names(path: &str, out: &mut Vec<String>) {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else {
        out.push(path.chars().take_while(|c| is_word(*c)).collect());
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                first_names(&group[start..at], out);
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether `line` names `/folder/…` as an absolute path.
fn names_folder(line: &str, folder: &str) -> bool {
    let needle = format!("/{folder}/");
    line.match_indices(&needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| is_word(c) || "./-}~*$>".contains(c))
    })
}

/// `source` with the insides of comments and literals as blanks, line breaks kept.
fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_comment(&chars, at),
            '"' => end_of_string(&chars, at),
            'r' if raw_hashes(&chars, at).is_some() => end_of_raw_string(&chars, at),
            '\'' => end_of_char(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let end = end.min(chars.len());
        out.extend(
            chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    out
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    let rest = chars[at..].iter().position(|c| *c == '\n');
    rest.map_or(chars.len(), |length| at + length)
}

/// Block comments nest.
fn end_of_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// How many hashes open a raw string at `at`, if one begins there.
fn raw_hashes(chars: &[char], at: usize) -> Option<usize> {
    let glued = at > 0 && is_word(chars[at - 1]) && chars[at - 1] != 'b' && chars[at - 1] != 'c';
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    (!glued && chars.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

fn end_of_raw_string(chars: &[char], at: usize) -> usize {
    let n_hashes = raw_hashes(chars, at).unwrap_or(0);
    let mut i = at + n_hashes + 2;
    while i < chars.len() {
        let closes = chars[i] == '"'
            && i + n_hashes < chars.len()
            && chars[i + 1..=i + n_hashes].iter().all(|c| *c == '#');
        if closes {
            return i + n_hashes + 1;
        }
        i += 1;
    }
    chars.len()
}

/// A character literal; a lifetime is left alone.
fn end_of_char(chars: &[char], at: usize) -> usize {
    match chars.get(at + 1) {
        Some('\\') => {
            let body = chars[at + 3..].iter().position(|c| *c == '\'');
            body.map_or(at, |length| at + 3 + length + 1)
        }
        Some(_) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

#[test]
fn the_reader_of_source_sees_code_only() {
    let source = "a // unsafe\n/* unsafe /* x */ unsafe */ b \"unsafe \\\" cpal\" 'c' '\\'' <'a> r#\"unsafe\"# d";
    let code = blank(source);
    assert!(
        !has_word(&code, "unsafe") && !has_word(&code, "cpal"),
        "{code}"
    );
    for kept in ["a", "b", "d"] {
        assert!(has_word(&code, kept), "{kept} is missing in {code}");
    }
    assert!(code.contains("<'a>"));
}

#[test]
fn imports_are_found_in_groups() {
    let code = "use crate::{error::{Kind, Classify}, dsp, kernels::*};\nfn f(x: crate::nn::Linear) { mycrate::vad::x() }";
    assert_eq!(imports(code), ["error", "dsp", "kernels", "nn"]);
    assert_eq!(layer_of("nn"), Some(2));
}

#[test]
fn absolute_paths_are_told_from_others() {
    let home = format!("see /{}/me/x", "home");
    assert!(names_folder(&home, "home"));
    assert!(!names_folder("docs/home/page and ${X}/home/y", "home"));
}
