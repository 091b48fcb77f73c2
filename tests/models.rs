//! `hark models` from outside.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use hark::format::WhisperFile;
use serde_json::Value;
use support::model;
use support::program::{Ran, arg, command, hark};
use support::tiny::TinyWhisper;

/// Runs `hark models` with an empty folder for models.
fn without_models(args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&[&["models"], args].concat());
    let output = command.env("HARK_MODELS", folder.path()).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_list_says_what_is_there() {
    let list = without_models(&["list", "--json"]).expect(0);
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    let models = list.as_array().unwrap();
    let default: Vec<&Value> = models.iter().filter(|m| m["default"] == true).collect();
    assert_eq!(default.len(), 1);
    assert_eq!(default[0]["name"], "tiny.en");
    for model in models {
        let licence = match model["name"].as_str().unwrap() {
            "smollm2" => "Apache-2.0",
            _ => "MIT",
        };
        assert_eq!(
            (&model["state"], &model["licence"]),
            (&"-".into(), &licence.into())
        );
    }
    let text = without_models(&["list"]).expect(0).stdout;
    assert!(
        models
            .iter()
            .all(|m| text.contains(m["name"].as_str().unwrap()))
    );
}

#[test]
fn an_interrupted_download_is_partial() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tiny.en")).unwrap();
    std::fs::write(folder.path().join("tiny.en/model.bin.part"), "abc").unwrap();
    let run = |args: &[&str]| {
        let mut command = command(args);
        let output = command.env("HARK_MODELS", folder.path()).output().unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), value)
    };
    let (code, list) = run(&["models", "list", "--json"]);
    assert_eq!((code, &list[0]["state"]), (Some(0), &"partial".into()));
    let (code, verified) = run(&["models", "verify", "--json"]);
    assert_eq!(code, Some(3));
    assert_eq!(verified["name"], "tiny.en");
    assert_eq!(verified["verified"], false);
    let problem = verified["problem"].as_str().unwrap();
    assert!(
        problem.contains("run `hark models pull tiny.en`"),
        "{problem}"
    );
}

#[test]
fn what_is_missing_is_said_with_what_to_run() {
    for args in [
        &["info", "tiny.en"][..],
        &["verify", "tiny.en"],
        &["verify"],
    ] {
        let ran = without_models(args).expect(3);
        assert!(
            ran.complaint().contains("run `hark models pull tiny.en`"),
            "{args:?}"
        );
    }
    for args in [["pull", "tinyen"], ["info", "tinyen"], ["verify", "tinyen"]] {
        let ran = without_models(&args).expect(3);
        assert!(
            ran.complaint().contains("did you mean tiny.en?"),
            "{args:?}"
        );
    }
    without_models(&["pull"]).expect(2);
    let ran = without_models(&["quantize", "tiny.en", "x.bin", "q3_K"]).expect(2);
    assert!(ran.complaint().contains("q6_K"), "{}", ran.complaint());
}

#[test]
fn a_converted_model_is_the_same_model() {
    let Some(original) = model("tiny.en") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let info = |path: &str| -> Value {
        let ran = hark(&["models", "info", path, "--json"]).expect(0);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let before = info(arg(&original));
    assert_eq!(
        (&before["languages"], &before["text_tokens"]),
        (&1.into(), &50_256.into())
    );
    for (action, file, block, max_bytes) in [
        (&["convert"][..], "half.bin", None, 80_000_000),
        (&["quantize"], "small.bin", Some("q5_1"), 34_000_000),
    ] {
        let to = folder.path().join(file);
        let mut args = [&["models"], action, &[arg(&original), arg(&to)]].concat();
        args.extend(block);
        args.push("--json");
        let ran = hark(&args).expect(0);
        let told: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(told["path"], arg(&to));
        assert_eq!(told["type"], block.unwrap_or("f16"));
        let after = info(arg(&to));
        assert_eq!(after["container"], "ggml");
        assert_eq!(after["dims"], before["dims"]);
        assert_eq!(after["parameters"], before["parameters"]);
        assert_eq!(told["size_bytes"], after["size_bytes"]);
        assert!(after["size_bytes"].as_u64().unwrap() < max_bytes);
        let again = hark(&["models", "convert", arg(&to), arg(&to), "--force"]).expect(2);
        assert!(again.complaint().contains("onto itself"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// The folder's content, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is in the way of a converted model, or looks like its unfinished form, is left alone.
#[test]
fn converting_harms_no_other_file() {
    let model = TinyWhisper::new(64, 1);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes = model.ggml_f32().bytes;
    std::fs::write(at("y.bin.part"), &bytes).unwrap();
    let convert = |to: &Path| hark(&["models", "convert", arg(&at("y.bin.part")), arg(to)]);

    convert(&at("y.bin")).expect(0);
    assert_eq!(std::fs::read(at("y.bin.part")).unwrap(), bytes);
    let complaint = convert(&at("y.bin")).expect(2);
    assert!(complaint.complaint().contains("--force"));
    assert!(WhisperFile::open(&at("y.bin")).is_ok());

    std::fs::create_dir(at("folder")).unwrap();
    let complaint = convert(&at("folder")).expect(2);
    assert!(complaint.complaint().contains("is a folder"));
    std::os::unix::fs::symlink(at("y.bin.part"), at("link")).unwrap();
    let complaint = convert(&at("link")).expect(2);
    assert!(complaint.complaint().contains("is not a regular file"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    convert(&at("socket")).expect(2);
    convert(&at("absent/y.bin")).expect(2);
    assert_eq!(
        names_in(folder.path()),
        ["folder", "link", "socket", "y.bin", "y.bin.part"]
    );
    assert_eq!(std::fs::read(at("y.bin.part")).unwrap(), bytes);
    assert!(names_in(&at("folder")).is_empty());
}

/// A disk that is full, here a limit of a few kilobytes, leaves what was there.
#[test]
fn a_failed_conversion_leaves_nothing() {
    let model = TinyWhisper::new(64, 2);
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from.bin");
    let to = folder.path().join("to.bin");
    std::fs::write(&from, model.ggml_f32().bytes).unwrap();
    std::fs::write(&to, "before").unwrap();
    let limit = format!(
        "ulimit -f 8; trap '' XFSZ; exec \"$0\" models convert '{}' '{}' --force",
        from.display(),
        to.display()
    );
    let ran = std::process::Command::new("sh")
        .args(["-c", &limit, env!("CARGO_BIN_EXE_hark")])
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("to.bin"));
    assert_eq!(std::fs::read(&to).unwrap(), b"before");
    assert_eq!(names_in(folder.path()), ["from.bin", "to.bin"]);
}

/// A folder of recordings with their texts, made of shipped ones.
fn talks(folder: &Path) -> std::path::PathBuf {
    let talks = folder.join("talks");
    std::fs::create_dir(&talks).unwrap();
    let shipped = support::root().join("tests/data/speech");
    let manifest = std::fs::read_to_string(shipped.join("manifest.tsv")).unwrap();
    let head: Vec<&str> = manifest.lines().next().unwrap().split('\t').collect();
    let column = |name: &str| head.iter().position(|c| *c == name).unwrap();
    let (file, kind, reference) = (column("file"), column("kind"), column("reference"));
    let rows = manifest
        .lines()
        .skip(1)
        .map(|l| l.split('\t').collect::<Vec<_>>());
    for (i, row) in rows
        .filter(|row| row[kind] == "command")
        .take(2)
        .enumerate()
    {
        let from = shipped.join(row[file]);
        std::fs::copy(&from, talks.join(from.file_name().unwrap())).unwrap();
        if i == 0 {
            let text = talks.join(from.file_name().unwrap()).with_extension("txt");
            std::fs::write(text, row[reference]).unwrap();
        }
    }
    talks
}

#[test]
fn quantising_tells_what_it_costs() {
    let Some(original) = model("tiny.en") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let talks = talks(folder.path());
    let to = folder.path().join("small.bin");
    let quantize = |block: &str, more: &[&str]| {
        let args = ["models", "quantize", arg(&original), arg(&to), block];
        hark(&[&args, more].concat())
    };
    let heard = ["--audio", arg(&talks), "--language", "en", "--json"];
    let told: Value = serde_json::from_str(&quantize("q5_1", &heard).expect(0).stdout).unwrap();
    let (before, after) = (&told["size_bytes_before"], &told["size_bytes"]);
    assert!(before.as_u64().unwrap() > 2 * after.as_u64().unwrap());
    let worst = |tensor: &Value| tensor["worst_relative_error"].as_f64().unwrap();
    let tensors = told["tensors"].as_array().unwrap();
    assert!(tensors.iter().map(worst).is_sorted_by(|a, b| a >= b));
    assert!(worst(&tensors[0]) > 0.001 && worst(&tensors[0]) < 0.1);
    let of = |name: &str| tensors.iter().find(|t| t["name"] == name).unwrap();
    assert_eq!(of("encoder.conv1.weight")["type"], "f16");
    assert_eq!(of("encoder.positional_embedding")["type"], "f32");
    assert_eq!(of("decoder.blocks.0.mlp.0.weight")["type"], "q5_1");
    let heard = &told["recordings"];
    assert_eq!(
        (&heard["count"], &heard["with_reference"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        (&heard["compute_before"], &heard["compute_after"]),
        (&"f32".into(), &"q5_1".into())
    );
    assert!(heard["after"]["word_error_rate"].as_f64().unwrap() < 0.5);

    // The file is there now. Its blocks, and those made of the original, are the same.
    let complaint = quantize("q5_1", &[]).expect(2);
    assert!(complaint.complaint().contains("--force"));
    let mut clips = std::fs::read_dir(&talks)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let clip = clips
        .find(|path| path.extension().unwrap() == "flac")
        .unwrap();
    let text = |model: &Path| {
        let args = [
            "transcribe",
            arg(&clip),
            "--model",
            arg(model),
            "--compute",
            "q5_1",
        ];
        hark(&args).expect(0).stdout
    };
    assert_eq!(text(&to), text(&original));

    // Rows of 384 are no whole blocks of 256.
    let ran = quantize("q4_K", &["--force"]).expect(0);
    assert!(
        ran.stdout.contains("q4_1 in place of q4_K"),
        "{}",
        ran.stdout
    );
    assert!(WhisperFile::open(&to).is_ok());
}

#[test]
fn recordings_that_cannot_be_had_stop_it_before_the_work() {
    let tiny = TinyWhisper::new(64, 3);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("from.bin"), tiny.ggml_f32().bytes).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("clip.wav"), "no sound").unwrap();
    std::fs::write(at("table.tsv"), "name\ttext\n").unwrap();
    std::fs::write(at("other.tsv"), "file\treference\nother.wav\thello\n").unwrap();
    for (more, expected) in [
        (&["--audio", arg(&at("absent.wav"))][..], "absent.wav"),
        (&["--audio", arg(&at("empty"))], "no recordings"),
        (
            &[
                "--audio",
                arg(&at("clip.wav")),
                "--references",
                arg(&at("table.tsv")),
            ],
            "no column is called file",
        ),
        (
            &[
                "--audio",
                arg(&at("clip.wav")),
                "--references",
                arg(&at("other.tsv")),
            ],
            "names none of the recordings",
        ),
        (&["--references", arg(&at("other.tsv"))], "--audio"),
    ] {
        let (from, to) = (at("from.bin"), at("to.bin"));
        let args = ["models", "quantize", arg(&from), arg(&to), "q8_0"];
        let ran = hark(&[&args, more].concat()).expect(2);
        assert!(ran.complaint().contains(expected), "{}", ran.complaint());
        assert!(!to.exists());
    }
}
