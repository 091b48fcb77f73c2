//! The program from outside: arguments, messages, exit codes, output formats.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Read;
use std::process::Stdio;

use support::model;
use support::program::{arg, command, hark, hark_with_input, recording};

const SUBCOMMANDS: [&str; 14] = [
    "run",
    "caption",
    "replay",
    "transcribe",
    "commands",
    "ask",
    "models",
    "devices",
    "ctl",
    "doctor",
    "why",
    "bench",
    "completions",
    "manual",
];

const SHOP_BOY: &str = "dictation/dictation_en_0005.flac";

#[test]
fn every_subcommand_has_help_with_examples() {
    let all = hark(&["--help"]).expect(0);
    for name in SUBCOMMANDS {
        assert!(
            all.stdout.contains(&format!("\n  {name}")),
            "{name} is not in --help"
        );
        let help = hark(&[name, "--help"]).expect(0);
        assert!(help.stdout.contains("Usage: hark"), "{name}");
        assert!(help.stdout.contains("Examples:"), "{name} has no examples");
        assert!(help.stderr.is_empty());
    }
}

#[test]
fn version_goes_to_stdout() {
    let version = hark(&["--version"]).expect(0);
    assert_eq!(
        version.stdout,
        format!("hark {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn nothing_asked_is_a_usage_error() {
    let ran = hark(&[]).expect(2);
    assert!(ran.stderr.contains("Usage: hark"));
}

#[test]
fn unknown_flags_and_subcommands_are_named() {
    for args in [
        vec!["--frobnicate"],
        vec!["commands", "test", "--frobnicate"],
        vec!["models", "frobnicate"],
        vec!["frobnicate"],
        vec!["transcribe", "--frobnicate", "x.wav"],
        vec!["transcribe", "--format", "frobnicate", "x.wav"],
        vec!["caption", "--speed", "frobnicate"],
        vec!["run", "--threads", "frobnicate"],
        vec!["replay", "x.wav", "--log", "frobnicate"],
    ] {
        let ran = hark(&args).expect(2);
        assert!(
            ran.complaint().contains("frobnicate"),
            "{args:?}: {}",
            ran.stderr
        );
        let words: Vec<&str> = (args.iter().copied())
            .take_while(|arg| arg.chars().all(|c| c.is_ascii_lowercase()) && *arg != "frobnicate")
            .collect();
        let help = ["hark", words.join(" ").as_str(), "--help`"]
            .join(" ")
            .replace("  ", " ");
        assert!(
            ran.complaint().contains(&format!("see `{help}")),
            "{args:?}: {}",
            ran.stderr
        );
        assert!(ran.stdout.is_empty());
    }
}

#[test]
fn a_missing_argument_is_named() {
    let ran = hark(&["transcribe"]).expect(2);
    assert!(ran.complaint().contains("<FILE>"), "{}", ran.stderr);
    assert!(
        ran.complaint().contains("`hark transcribe --help`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn input_files_that_cannot_be_read_are_code_5() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes\n.txt");
    fs::write(&text, "no sound at all, only words ".repeat(100)).unwrap();
    let empty = folder.path().join("empty.wav");
    fs::write(&empty, "").unwrap();
    let missing = folder.path().join("missing.wav");
    for path in [&text, &empty, &missing, &folder.path().to_owned()] {
        for args in [
            vec!["transcribe", arg(path)],
            vec!["replay", arg(path)],
            vec!["caption", "--source", arg(path), "--speed", "max"],
        ] {
            let ran = hark(&args).expect(5);
            assert!(
                ran.complaint().contains(arg(folder.path())),
                "{}",
                ran.stderr
            );
        }
    }
}

#[test]
fn a_missing_model_is_code_3_and_says_what_to_run() {
    let clip = recording(SHOP_BOY);
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = command(args);
        let output = command.env("HARK_MODELS", folder.path()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, stderr) = run(&["transcribe", arg(&clip)]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("hark models pull tiny.en"), "{stderr}");
    let (code, stderr) = run(&["transcribe", arg(&clip), "--model", "tiny.enn"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("tiny.en"), "{stderr}");
}

#[test]
fn a_model_that_is_none_is_code_3() {
    let clip = recording(SHOP_BOY);
    let ran = hark(&["transcribe", arg(&clip), "--model", arg(&clip)]).expect(3);
    assert!(
        ran.complaint().contains("dictation_en_0005.flac"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_bad_configuration_is_code_2_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let clip = recording(SHOP_BOY);
    fs::write(&config, "\n[vad]\nthreshhold = 0.5\n").unwrap();
    let ran = hark(&["replay", arg(&clip), "--config", arg(&config)]).expect(2);
    let line = ran.complaint();
    assert!(line.contains("config.toml:3"), "{line}");
    assert!(line.contains("threshhold"), "{line}");
    let output = command(&["replay", arg(&clip)])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let found = String::from_utf8(output.stderr).unwrap();
    assert!(
        found.contains("(found in the current folder; --config chooses another)"),
        "{found}"
    );
    let missing = folder.path().join("missing.toml");
    let ran = hark(&["replay", arg(&clip), "--config", arg(&missing)]).expect(2);
    assert!(ran.complaint().contains("missing.toml"), "{}", ran.stderr);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    for args in [
        vec!["--help"],
        vec!["transcribe", "--help"],
        vec!["models", "list"],
    ] {
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {stderr}");
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[test]
fn arguments_that_contradict_each_other_are_code_2() {
    for args in [
        vec!["transcribe", "a.wav", "--raw", "s16le,16000,1"],
        vec!["transcribe", "-", "-"],
        vec!["transcribe", "-", "--raw", "s17le,16000,1"],
        vec!["transcribe", "a.wav", "b.wav", "--format", "srt"],
        vec!["caption", "--source", "a.wav", "--raw", "s16le,16000,1"],
    ] {
        let ran = hark(&args).expect(2);
        ran.complaint();
    }
}

#[test]
fn a_bad_file_among_several_is_reported_and_the_others_go_on() {
    if model("tiny.en").is_none() {
        return;
    }
    let (good, bad) = (recording(SHOP_BOY), "/nonexistent/speech.wav");
    let ran = hark(&["transcribe", "--format", "jsonl", bad, arg(&good)]).expect(5);
    assert!(ran.complaint().contains(bad), "{}", ran.stderr);
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["file"], arg(&good));
    assert!(lines[0]["text"].as_str().unwrap().contains("shop"));
}

#[test]
fn every_format_holds_the_same_text() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    let text_of = |format: &str| hark(&["transcribe", "--format", format, arg(&clip)]).expect(0);
    let txt = text_of("txt").stdout;
    let joined = txt.lines().collect::<Vec<_>>().join(" ");
    assert!(joined.contains("shop"), "{txt}");

    let object: serde_json::Value = serde_json::from_str(&text_of("json").stdout).unwrap();
    assert_eq!(object["text"], joined.as_str());
    assert_eq!(object["language"], "en");
    assert_eq!(object["model"], "tiny.en");
    assert!((object["duration_s"].as_f64().unwrap() - 4.47).abs() < 0.01);
    assert_eq!(text_of("jsonl").json_lines()[0], object);

    let srt = text_of("srt").stdout;
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    let vtt = text_of("vtt").stdout;
    assert!(vtt.starts_with("WEBVTT\n\n00:00:00."), "{vtt}");
    for subtitles in [srt, vtt] {
        let said: Vec<&str> = (subtitles.lines())
            .filter(|line| line.chars().any(char::is_alphabetic) && *line != "WEBVTT")
            .collect();
        assert_eq!(said.join(" "), joined);
    }
    for (format, head, quote) in [
        ("csv", "start,end,text\n", "\""),
        ("tsv", "start\tend\ttext\n", ""),
        ("lrc", "", ""),
    ] {
        let table = text_of(format).stdout;
        let rows = table.strip_prefix(head).expect(&table);
        assert_eq!(rows.lines().count(), txt.lines().count(), "{table}");
        for (row, text) in rows.lines().zip(txt.lines()) {
            assert!(row.ends_with(&format!("{text}{quote}")), "{row}");
        }
    }
}

#[test]
fn a_wider_search_is_named_and_one_beam_is_greedy() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    let with = |beam: &[&str]| {
        let ran = hark(&[&["transcribe", "--format", "jsonl", arg(&clip)], beam].concat());
        ran.expect(0).json_lines().remove(0)
    };
    let (greedy, five) = (with(&[]), with(&["--beam", "5", "--words"]));
    assert_eq!(with(&["--beam", "1"]), greedy);
    assert_eq!(greedy["decoding"], "greedy");
    assert_eq!(five["decoding"], "beam5");
    assert!(five["text"].as_str().unwrap().contains("shop"), "{five}");
    let words = five["segments"][0]["words"].as_array().unwrap();
    assert!(words.len() > 5, "{five}");
    for beam in ["0", "9", "many"] {
        let ran = hark(&["transcribe", "--beam", beam, arg(&clip)]).expect(2);
        assert!(ran.complaint().contains("--beam"), "{}", ran.stderr);
    }
}

#[test]
fn words_have_times_in_order() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    let ran = hark(&["transcribe", "--format", "jsonl", "--words", arg(&clip)]).expect(0);
    let object = &ran.json_lines()[0];
    let mut last = 0.0;
    let mut text = String::new();
    for word in object["segments"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|segment| segment["words"].as_array().unwrap())
    {
        let (t0, t1) = (word["t0"].as_f64().unwrap(), word["t1"].as_f64().unwrap());
        assert!(last <= t0 && t0 <= t1 && t1 <= 4.6, "{word}");
        last = t0;
        text.push_str(word["text"].as_str().unwrap());
    }
    assert_eq!(text.trim(), object["text"].as_str().unwrap());
}

#[test]
fn output_files_and_folders() {
    if model("tiny.en").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = recording(SHOP_BOY);
    let file = folder.path().join("one.srt");
    let args = [
        "transcribe",
        "--format",
        "srt",
        "--output",
        arg(&file),
        arg(&clip),
    ];
    assert_eq!(hark(&args).expect(0).stdout, "");
    assert!(fs::read_to_string(&file).unwrap().contains("-->"));

    let many = folder.path().join("many");
    let other = recording("dictation/dictation_en_0090.flac");
    let args = [
        "transcribe",
        "--format",
        "vtt",
        "-o",
        arg(&many),
        arg(&clip),
        arg(&other),
    ];
    hark(&args).expect(0);
    for name in ["dictation_en_0005.vtt", "dictation_en_0090.vtt"] {
        assert!(
            fs::read_to_string(many.join(name))
                .unwrap()
                .starts_with("WEBVTT")
        );
    }
}

#[test]
fn a_recording_is_never_the_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (talk, other) = (path("talk.txt"), path("other.flac"));
    let original = fs::read(recording(SHOP_BOY)).unwrap();
    fs::write(&talk, &original).unwrap();
    fs::write(&other, &original).unwrap();
    std::os::unix::fs::symlink(&talk, path("link.srt")).unwrap();
    fs::write(path("new.srt.part"), &original).unwrap();
    let around = folder
        .path()
        .join("../")
        .join(folder.path().file_name().unwrap());
    for (inputs, output) in [
        (vec![&talk], talk.clone()),
        (vec![&talk], around.join("talk.txt")),
        (vec![&talk], path("link.srt")),
        (vec![&talk, &other], folder.path().to_owned()),
        (vec![&path("new.srt.part")], path("new.srt")),
    ] {
        let mut args = vec!["transcribe", "--output", arg(&output)];
        args.extend(inputs.iter().map(|input| arg(input)));
        let ran = hark(&args).expect(2);
        assert!(
            ran.complaint().contains("is the recording"),
            "{}",
            ran.stderr
        );
        assert!(fs::read(&talk).unwrap() == original);
    }
    assert!(fs::read(path("new.srt.part")).unwrap() == original);
}

#[test]
fn an_earlier_output_stays_until_there_is_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("talk.txt");
    fs::write(&text, "what was said before").unwrap();
    let clip = recording(SHOP_BOY);
    for (input, model, code) in [
        (arg(&clip), "no-such-model", 3),
        ("/nonexistent/talk.wav", "tiny.en", 5),
    ] {
        if code == 5 && self::model("tiny.en").is_none() {
            return;
        }
        let args = ["transcribe", "-o", arg(&text), input, "--model", model];
        hark(&args).expect(code).complaint();
        assert_eq!(fs::read_to_string(&text).unwrap(), "what was said before");
        assert!(!folder.path().join("talk.txt.part").exists());
    }
    hark(&["transcribe", "-o", arg(&text), arg(&clip)]).expect(0);
    assert!(fs::read_to_string(&text).unwrap().contains("shop"));
    assert!(!folder.path().join("talk.txt.part").exists());
    hark(&["transcribe", "-o", "/dev/null", arg(&clip)]).expect(0);
}

#[test]
fn an_output_that_cannot_be_written_is_code_2() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    for output in ["/nonexistent/talk.txt", "/dev/full"] {
        let ran = hark(&["transcribe", "-o", output, arg(&clip)]).expect(2);
        assert!(ran.complaint().contains(output), "{}", ran.stderr);
    }
}

#[test]
fn english_only_models_refuse_other_languages() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    for args in [["--language", "de"], ["--language", "klingon"]] {
        let ran = hark(&["transcribe", arg(&clip), args[0], args[1]]).expect(2);
        ran.complaint();
    }
    hark(&["transcribe", arg(&clip), "--translate"])
        .expect(2)
        .complaint();
}

#[test]
fn captions_into_a_pipe_are_settled_lines() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    let ran = hark(&["caption", "--source", arg(&clip), "--speed", "max"]).expect(0);
    assert!(ran.stdout.contains("shop"), "{}", ran.stdout);
    assert!(
        !ran.stdout.contains('\x1b') && !ran.stdout.contains('\r'),
        "{:?}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with('\n'));
}

#[test]
fn a_live_transcript_is_settled_words_and_the_finals_they_make() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    hark(&["transcribe", "--live", arg(&clip)])
        .expect(2)
        .complaint();
    let ran = hark(&["transcribe", "--live", "--format", "jsonl", arg(&clip)]).expect(0);
    let (mut committed, mut finals) = (String::new(), String::new());
    for event in ran.json_lines() {
        assert_eq!(event["file"], arg(&clip));
        match event["type"].as_str().unwrap() {
            "commit" => {
                for word in event["words"].as_array().unwrap() {
                    committed.push_str(word["text"].as_str().unwrap());
                }
            }
            "final" => {
                finals.push(' ');
                finals.push_str(event["text"].as_str().unwrap());
            }
            _ => {}
        }
    }
    assert!(committed.contains("shop"), "{committed}");
    assert_eq!(committed, finals);
}

#[test]
fn live_captions_are_measured() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    let ran = hark(&["bench", "stream", arg(&clip), "--json"]).expect(0);
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 1, "{}", ran.stdout);
    let object = &lines[0];
    for spread in ["first_partial_s", "commit_latency_s", "final_ms"] {
        for figure in ["median", "p95"] {
            assert!(object[spread][figure].is_number(), "{spread}.{figure}");
        }
    }
    for number in [
        "churn",
        "cpu_s_per_speech_s",
        "wer_streaming",
        "wer_offline",
    ] {
        assert!(object[number].is_number(), "{number}");
    }
    assert_eq!(object["retracted"], 0);
}

#[test]
fn raw_samples_on_stdin() {
    if model("tiny.en").is_none() {
        return;
    }
    let samples = hark::audio::decode_file(recording(SHOP_BOY)).unwrap();
    let bytes: Vec<u8> = (samples.iter())
        .flat_map(|sample| ((sample * 32_768.0) as i16).to_le_bytes())
        .collect();
    let args = ["transcribe", "-", "--raw", "s16le,16000,1"];
    let ran = hark_with_input(&args, &bytes, 4_321).expect(0);
    assert!(ran.stdout.contains("shop"), "{}", ran.stdout);
}

#[test]
fn a_measurement_is_one_object_with_its_conditions_and_bounds() {
    if model("tiny.en").is_none() {
        return;
    }
    let clip = recording(SHOP_BOY);
    let audio = ["bench", "whisper", "--audio", arg(&clip), "--runs", "2"];
    let full = ["--window", "full", "--compute", "f32", "--threads", "1"];
    let ran = hark(&[&audio[..], &full, &["--json"]].concat()).expect(0);
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 1, "{}", ran.stdout);
    let object = &lines[0];
    for (key, value) in [
        ("model", "tiny.en"),
        ("compute", "f32"),
        ("decoding", "greedy"),
        ("window", "full"),
    ] {
        assert_eq!(object[key], value);
    }
    assert_eq!(
        (&object["threads"], &object["runs"]),
        (&1.into(), &2.into())
    );
    for key in [
        "load_ms",
        "mel_ms",
        "encode_ms",
        "decode_ms_per_token",
        "total_ms",
        "rtf",
    ] {
        let of = |ending: &str| object[format!("{key}{ending}")].as_f64().unwrap();
        let (least, median, greatest) = (of("_min"), of(""), of("_max"));
        assert!(
            0.0 < least && least <= median && median <= greatest,
            "{key}"
        );
    }
    assert!(object["tokens"].as_u64().unwrap() > 5);
    assert!(object["machine"].is_string() && object["simd"].is_string());
    assert!(!object["peak_rss_mb"].is_null() || cfg!(not(target_os = "linux")));
    let both = hark(&["bench", "whisper", arg(&clip), "--audio", arg(&clip)]).expect(2);
    assert!(both.complaint().contains("--audio"), "{}", both.stderr);
}

#[test]
fn every_kernel_is_measured_beside_the_limits() {
    if !support::keeps_up() {
        return;
    }
    let args = ["bench", "kernels", "--runs", "1", "--threads", "1"];
    let ran = hark(&[&args[..], &["--json"]].concat()).expect(0);
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 1, "{}", ran.stdout);
    let object = &lines[0];
    for key in ["limit_f32_gmacs", "limit_int8_gmacs", "limit_read_gbs"] {
        assert!(object[key].as_f64().unwrap() > 0.0, "{key}");
    }
    // Eight layers with four numbers of rows, and the logits, in three kinds of arithmetic.
    assert_eq!(object["matmul"].as_array().unwrap().len(), 3 * (8 * 4 + 1));
    for name in ["matmul", "attention"] {
        for row in object[name].as_array().unwrap() {
            assert!(row["gmacs"].as_f64().unwrap() > 0.0, "{row}");
            assert!(row["share"].as_f64().unwrap() > 0.0, "{row}");
            assert_eq!(row["gbs"].is_number(), row["m"] == 1, "{row}");
        }
    }
}
