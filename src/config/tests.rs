#![allow(clippy::unwrap_used)]

use super::*;
use crate::command::action::Kind as Deed;
use crate::command::{Match, Matcher};
use proptest::prelude::*;

fn parse(text: &str) -> Result<(Config, Vec<GrammarError>), ConfigError> {
    Config::parse(Path::new("c.toml"), text.to_owned())
}

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// All settings, without the commands and the file.
fn settings(config: &Config) -> String {
    let Config {
        file: _,
        remarks: _,
        log,
        audio,
        vad,
        model,
        whisper,
        stream,
        speech,
        responder,
        control,
        ledger,
        commands,
        dialogue,
    } = config;
    let (matching, running) = (commands.matching, commands.running);
    format!(
        "{:#?}
{dialogue:#?}
{responder:#?}",
        (
            log, audio, vad, model, whisper, stream, speech, control, ledger, matching, running
        )
    )
}

#[test]
fn the_shipped_file_equals_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let config = Config::load(Some(&path)).unwrap();
    assert_eq!(settings(&config), settings(&Config::default()));
    assert!(config.commands.grammar.n_commands() > 0);
}

#[test]
fn the_shipped_file_shows_every_key() {
    // A key that is removed from the shipped file must still be found there as a comment would
    // not be: every "Default" note belongs to one `key = value` line.
    let text = include_str!("../../config.toml");
    let settings = text.split("# What can be said.").next().unwrap();
    let keys = settings
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'));
    assert_eq!(keys.count(), settings.matches("Default ").count());
}

/// The keys that the code asks for in the section which `text` ends in.
fn known_keys(text: &str) -> Vec<String> {
    let message = message(&format!("{text}zzzzzzzzzzzzzzzz = 1\n"));
    let (_, known) = message.split_once("known are: ").expect(&message);
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_shipped_file_has_every_key_that_is_asked_for() {
    let shipped = include_str!("../../config.toml");
    for name in known_keys("") {
        let heads = [format!("\n[{name}]\n"), format!("\n[[{name}]]\n")];
        assert!(heads.iter().any(|head| shipped.contains(head)), "{name}");
    }
    for name in [
        "log",
        "audio",
        "vad",
        "model",
        "whisper",
        "stream",
        "speech",
        "responder",
        "control",
        "ledger",
        "listen",
        "dialogue",
        "timers",
        "commands",
    ] {
        let section = shipped.split(&format!("\n[{name}]\n")).nth(1).unwrap();
        let section = section.split("\n[").next().unwrap();
        for key in known_keys(&format!("[{name}]\n")) {
            assert!(section.contains(&format!("\n{key} = ")), "{name}.{key}");
        }
    }
    let command = "[[command]]\nname = 'a'\nsentences = ['b']\n";
    for key in known_keys(command) {
        assert!(shipped.contains(&format!("\n#   {key} ")), "command.{key}");
    }
    for (kind, is_built) in [
        ("program = 'x'", true),
        ("http = 'http://x'", cfg!(feature = "http")),
        ("mqtt = 'mqtt://x'\ntopic = 'x'", cfg!(feature = "mqtt")),
        ("speak = 'x'", true),
        ("socket = 'unix:x'", true),
    ] {
        if !is_built {
            continue;
        }
        for key in known_keys(&format!("{command}[command.action]\n{kind}\n")) {
            assert!(shipped.contains(&format!("\n#     {key} ")), "action.{key}");
        }
    }
}

#[test]
fn command_and_commands_are_told_apart() {
    let asked = "one command is written under [[command]], without s";
    for text in [
        "[[commands]]\nname = 'a'\nsentences = ['b']\n",
        "[commands]\nname = 'a'\n",
        "[commands]\nsentences = ['b']\n",
    ] {
        assert!(message(text).ends_with(asked), "{}", message(text));
    }
    let text = "[command]\nname = 'a'\nsentences = ['b']\n";
    assert!(
        message(text).contains("each command begins with [[command]]"),
        "{}",
        message(text)
    );
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let (config, mistakes) = parse("").unwrap();
    assert!(mistakes.is_empty());
    assert_eq!(settings(&config), settings(&Config::default()));
}

#[test]
fn unknown_keys_name_line_and_nearest_key() {
    assert_eq!(
        message("[vad]\n\nthreshhold = 0.5\n"),
        "c.toml:3: unknown key `vad.threshhold`; did you mean `vad.threshold`?"
    );
    assert_eq!(
        message("[straem]\n"),
        "c.toml:1: unknown key `straem`; did you mean `stream`?"
    );
    assert_eq!(
        message("[audio]\nx = 1\n"),
        "c.toml:2: unknown key `audio.x`; known are: device, channel, gain_db, high_pass_hz"
    );
    assert_eq!(
        message("[[command]]\nname = 'a'\nsentence = ['b']\nsentences = ['b']"),
        "c.toml:3: unknown key `command[0].sentence`; did you mean `command[0].sentences`?"
    );
}

#[test]
fn values_are_checked_with_line_and_key() {
    assert_eq!(
        message("[vad]\nthreshold = 2\n"),
        "c.toml:2: `vad.threshold` is 2; it must be a number from 0.01 to 0.99"
    );
    assert_eq!(
        message("[model]\ncompute = \"int4\""),
        "c.toml:2: `model.compute` is \"int4\"; it must be \"int8\" or \"f32\" or \"q8_0\" or \"q5_1\" or \"q5_0\" or \"q4_1\" or \"q4_0\""
    );
    assert_eq!(
        message("[vad]\nthreshold = 0.3\nneg_threshold = 0.4"),
        "c.toml:3: `vad.neg_threshold` is 0.4; it must be no more than vad.threshold (0.3)"
    );
    for text in [
        "vad = 3",
        "[vad]\nthreshold = nan",
        "[vad]\nthreshold = 1e400",
        "[vad]\nmin_silence_ms = 99999999999999999999999",
        "[vad]\nmin_silence_ms = -1",
        "[vad]\nmin_silence_ms = 700.5",
        "[model]\nname = ''",
        "[model]\nthreads = 0xFFFF",
        "[whisper]\nlanguage = 'klingonese'",
        "[whisper]\ntemperatures = []",
        "[whisper]\ntemperatures = [0.2, 0.1]",
        "[whisper]\nwords = 1",
        "[whisper]\nbeam = 0",
        "[whisper]\nbeam = 9",
        "[stream]\nstep_ms = 50",
        "[log]\nlevel = 'loud'",
        "command = 3",
        "[[command]]\nname = 'a b'\nsentences = ['x']",
        "[[command]]\nsentences = ['x']",
        "[[command]]\nname = 'a'",
        "[[command]]\nname = 'a'\nsentences = ['x']\naction = { args = ['x'] }",
        "[[command]]\nname = 'a'\nsentences = ['x']\naction = { program = '' }",
        "[[command]]\nname = 'a'\nsentences = ['x']\naction = { program = 'x', env = { '=' = 'y' } }",
        "[lists]\nx = []",
        "[lists]\nx = [3]",
        "[lists]\nx = { from = 3, to = 1 }",
        "[lists]\nx = { from = 3 }",
        "[lists]\nx = { from = 1, to = 3, step = 0 }",
        "[lists]\n'x y' = ['a']",
        "[commands]\ninclude = ['no-such-file.toml']",
        "x = ",
        "x = 1\nx = 2",
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().starts_with("c.toml:"), "{error}");
    }
}

#[test]
fn what_sounds_is_read() {
    use crate::speech::{Cue, Output};
    let text = "[speech]\noutput = 'wav'\ndevice = 'USB'\nwake_sound = 'tone'\n\
                done_sound = 'sounds/done.wav'\nerror_sound = ''\n";
    let path = Path::new("/etc/hark/c.toml");
    let (config, _) = Config::parse(path, text.to_owned()).unwrap();
    let speech = config.speech;
    assert_eq!((speech.output, &*speech.device), (Output::Wav, "USB"));
    assert_eq!(speech.cues.wake, Cue::Tone);
    let file = Path::new("/etc/hark/sounds/done.wav").to_owned();
    assert_eq!(speech.cues.done, Cue::File(file));
    assert_eq!(speech.cues.error, Cue::Silent);
    assert!(speech.plays() && !Config::default().speech.plays());
    assert_eq!(
        message("[speech]\noutput = 'mp3'\n"),
        "c.toml:2: `speech.output` is 'mp3'; it must be \"program\" or \"wav\""
    );
    for text in [
        "[speech]\ndevice = ' '\n",
        "[speech]\nwake_sound = true\n",
        "[speech]\nwake_sound = \"a\\u0000b\"\n",
    ] {
        let error = message(text);
        assert!(error.starts_with("c.toml:2: `speech."), "{error}");
    }
}

#[test]
fn values_of_every_kind_are_read() {
    let (config, _) = parse(
        "[whisper]\nlanguage = 'German'\ntask = 'translate'\ntemperatures = [0, 0.5]\n\
         beam = 5\n[model]\nthreads = 3\ncompute = 'f32'\n[vad]\nthreshold = 0.2\n",
    )
    .unwrap();
    assert_eq!(config.whisper.language.as_deref(), Some("de"));
    let (several, _) = parse("[whisper]\nlanguage = 'english, de'").unwrap();
    assert_eq!(several.whisper.language.as_deref(), Some("en,de"));
    assert_eq!(config.whisper.task, TaskConfig::Translate);
    assert_eq!(config.whisper.temperatures, [0.0, 0.5]);
    assert_eq!(config.whisper.beam, 5);
    assert_eq!(
        (config.model.threads, config.model.compute),
        (3, ComputeConfig::F32)
    );
    // The second threshold follows the first down.
    assert_eq!((config.vad.threshold, config.vad.neg_threshold), (0.2, 0.2));
}

#[test]
fn mistakes_in_commands_have_a_line() {
    let text = "[[command]]\nname = 'a'\nsentences = [\n  'go {plaec}',\n  'stop',\n]\n\
                action = { program = 'x', args = ['{speed}'] }\n[lists]\nplace = ['here']\n";
    let (config, mistakes) = parse(text).unwrap();
    let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "c.toml:4: sentence `go {plaec}`, column 4: there is no list `plaec`; \
             did you mean {place}?",
            "c.toml:1: command `a`: no sentence fills `{speed}` of its action; \
             write {{speed}} for the text itself",
        ]
    );
    let matcher = Matcher::new(config.commands.grammar, config.commands.matching);
    assert!(
        matches!(matcher.match_text("stop"), Match::Accepted { .. }),
        "the rest must work"
    );
}

#[test]
fn files_are_included_and_searched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(
        &path,
        "[commands]\ninclude = ['more.toml']\n[lists]\nroom = ['attic']\n",
    )
    .unwrap();
    let more = "[[command]]\nname = 'go'\nsentences = ['go to {room}']\n\
                action = { program = './go.sh', cwd = 'sub' }\n";
    std::fs::write(folder.path().join("more.toml"), more).unwrap();
    let config = Config::load(Some(&path)).unwrap();
    let action = config.commands.grammar.action(0).unwrap();
    let Deed::Program(program) = &action.kind else {
        panic!("{action:?}");
    };
    assert_eq!(Path::new(&program.program), folder.path().join("go.sh"));
    assert_eq!(program.cwd, Some(folder.path().join("sub")));

    std::fs::write(
        folder.path().join("more.toml"),
        "[lists]\nroom = ['attic']\n",
    )
    .unwrap();
    let error = Config::load(Some(&path)).unwrap_err().to_string();
    assert!(
        error.contains("more.toml:2: `lists.room` is ['attic']"),
        "{error}"
    );

    let error = Config::load(Some(&folder.path().join("none.toml"))).unwrap_err();
    assert!(error.to_string().contains("none.toml"), "{error}");
}

#[test]
fn search_follows_the_environment() {
    let env = |pairs: &'static [(&str, &str)]| {
        move |name: &str| {
            pairs
                .iter()
                .find(|(k, _)| *k == name)
                .map(|(_, v)| OsString::from(v))
        }
    };
    let paths = search_paths(env(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]));
    let expected = [
        "config.toml",
        "/x/hark/config.toml",
        "/etc/hark/config.toml",
    ];
    assert_eq!(paths, expected.map(PathBuf::from));
    let paths = search_paths(env(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]));
    assert_eq!(paths[1], Path::new("/h/.config/hark/config.toml"));
    assert_eq!(
        search_paths(env(&[("XDG_CONFIG_HOME", "relative")])).len(),
        2
    );
}

#[test]
fn nesting_is_bounded() {
    for text in [
        "x = ".to_owned() + &"[".repeat(100_000),
        "[a.".to_owned() + &"a.".repeat(100_000),
    ] {
        assert!(parse(&text).is_err());
    }
    let rules: String = (0..60)
        .map(|i| format!("r{i} = '<r{}> <r{}>'\n", i + 1, i + 1))
        .collect();
    let text =
        format!("[[command]]\nname='a'\nsentences=['x <r0>']\n[rules]\n{rules}r60 = '[x]'\n");
    assert_eq!(parse(&text).unwrap().1.len(), 1);
    let text = "[[command]]\nname='a'\nsentences=['<r>']\n[rules]\nr = 'x [<r>]'\n";
    assert_eq!(
        parse(text).unwrap().1[0].to_string(),
        "c.toml:5: rule `r` contains itself; \
                write its alternatives out"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_files_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn the_shipped_file_with_damage_never_panics(
        at in 0usize..8_000, length in 0usize..60, insert in "[\\[\\]{}()<>|;\"'=.\n a-z0-9é]{0,20}",
    ) {
        let chars: Vec<char> = include_str!("../../config.toml").chars().collect();
        let at = at.min(chars.len());
        let end = (at + length).min(chars.len());
        let text: String = chars[..at].iter().copied().chain(insert.chars())
            .chain(chars[end..].iter().copied()).collect();
        let _ = parse(&text);
    }

    #[test]
    fn hostile_sentences_never_panic(
        sentence in "[\\[\\](){}<>|;\\\\ .:0-9a-c]{0,60}", heard in "\\PC{0,60}",
    ) {
        let quoted = sentence.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!(
            "[[command]]\nname='a'\nsentences=[\"{quoted}\"]\n[lists]\na=['a','b c']\n[rules]\nb='c'\n"
        );
        if let Ok((config, _)) = parse(&text) {
            let matcher = Matcher::new(config.commands.grammar, config.commands.matching);
            let _ = matcher.match_text(&heard);
            let _ = matcher.match_text(&sentence);
        }
    }
}

#[test]
fn places_and_channels_are_checked() {
    let config = parse("[control]\nsocket = \"run/hark.sock\"\nmetrics = \"[::1]:9464\"")
        .unwrap()
        .0;
    assert_eq!(config.control.socket, Place::At("run/hark.sock".into()));
    assert_eq!(config.control.metrics.unwrap().port(), 9464);
    let config = parse("[audio]\nchannel = 2\n[log.modules]\naudio = \"debug\"")
        .unwrap()
        .0;
    assert_eq!(config.audio.channel, ChannelChoice::Only(1));
    let level = ::log::LevelFilter::Debug;
    assert_eq!(config.log.modules, [("audio".to_owned(), level)]);
    for wrong in [
        "[control]\nmetrics = \"0.0.0.0:9464\"",
        "[control]\nmetrics = \"localhost\"",
        "[audio]\nchannel = 0",
        "[audio]\nchannel = \"left\"",
        "[audio]\nhigh_pass_hz = 5",
        "[audio]\ngain_db = 100",
        "[ledger]\nfile = \"\"",
        "[log]\nmodules = { audio = \"loud\" }",
        "[log.modules]\naudoi = \"debug\"",
    ] {
        assert!(
            message(wrong).starts_with("c.toml:2: "),
            "{}",
            message(wrong)
        );
    }
}
