#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use super::Config;
use crate::command::Action;
// Some are for kinds that a build may leave out.
#[allow(unused_imports)]
use crate::command::action::{Kind, Output, Qos, Retry, Secret, WhenBusy};

fn parse(action: &str) -> Result<Arc<Action>, String> {
    let text = format!(
        "[[command]]\nname = 'a'\nsentences = ['go {{x}}']\n\
         lists = {{ x = ['1'] }}\n\n[command.action]\n{action}\n"
    );
    let (config, mistakes) =
        Config::parse(Path::new("/etc/h/c.toml"), text).map_err(|e| e.to_string())?;
    match mistakes.first() {
        Some(mistake) => Err(mistake.to_string()),
        None => Ok(config.commands.spec.commands[0].action.clone().unwrap()),
    }
}

/// The complaint, without its place.
fn complaint(action: &str) -> String {
    let message = parse(action).unwrap_err();
    let message = message.strip_prefix("/etc/h/c.toml:").expect("a place");
    message.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn what_all_actions_have() {
    let action = parse("program = 'x'").unwrap();
    assert_eq!(*action, Action::program("x", &[]));
    let action = parse(
        "speak = 'x {x}'\ntimeout_ms = 5000\nretry = { times = 3 }\nwhen_busy = 'replace'\n\
         output = 'none'",
    )
    .unwrap();
    assert_eq!(action.timeout_ms, 5_000);
    let retry = Retry {
        times: 3,
        delay_ms: 1_000,
    };
    assert_eq!(action.retry, retry);
    assert_eq!(
        (action.max_running, action.when_busy),
        (1, WhenBusy::Replace)
    );
    assert_eq!(action.output, Output::Nowhere);
    assert_eq!(parse("speak = 'x'").unwrap().timeout_ms, 60_000);
    assert_eq!(
        parse("program = 'x'\nmax_running = 3").unwrap().max_running,
        3
    );
}

#[cfg(feature = "http")]
#[test]
fn http_requests() {
    let action = parse(
        "http = 'https://h:8123/{x}'\nca_file = 'ca.pem'\ntoken_file = 'token'\n\
         json = { n = '{x:number}', list = [1, 2.5, true, 'a'] }\nheaders = { X-A = 'b {x}' }",
    )
    .unwrap();
    assert_eq!(
        action.line(),
        [
            "POST",
            "https://h:8123/{x}",
            r#"{"list":[1,2.5,true,"a"],"n":"{x:number}"}"#
        ]
    );
    let Kind::Http(request) = &action.kind else {
        panic!("{action:?}");
    };
    assert_eq!(request.ca_file.as_deref(), Some(Path::new("/etc/h/ca.pem")));
    assert_eq!(request.token, Some(Secret::File("/etc/h/token".into())));
    assert_eq!(action.mentioned_slots(), ["x", "x", "x"]);
    assert_eq!(
        parse("http = 'http://h'").unwrap().line(),
        ["GET", "http://h"]
    );
    // JSON may be written as JSON, too.
    let as_text = parse(
        r#"http = 'http://h'
        json = '{"a": "{x}", "n": null}'"#,
    );
    assert_eq!(as_text.unwrap().line()[2], r#"{"a":"{x}","n":null}"#);
}

#[cfg(feature = "mqtt")]
#[test]
fn mqtt_messages() {
    let action = parse(
        "mqtt = 'mqtts://me@broker'\npassword_env = 'PW'\ntopic = 'a/{x}'\npayload = '{x}'\n\
         retain = true\nqos = 2",
    )
    .unwrap();
    assert_eq!(
        action.line(),
        ["mqtt", "mqtts://broker:8883", "a/{x}", "{x}", "retained"]
    );
    let Kind::Mqtt(publish) = &action.kind else {
        panic!("{action:?}");
    };
    assert_eq!(publish.login.password, Some(Secret::Env("PW".into())));
    assert_eq!(publish.qos, Qos::ExactlyOnce);
}

#[test]
fn socket_messages() {
    let action = parse("socket = 'unix:run/s'\npayload = 'x'\nnewline = true").unwrap();
    assert_eq!(action.line(), ["socket", "unix:/etc/h/run/s", "x"]);
    assert_eq!(action.to_string(), "socket unix:/etc/h/run/s x");
}

#[test]
fn passwords_are_not_printed() {
    for action in [
        "mqtt = 'mqtt://me:hidden@h'\ntopic = 'x'",
        "http = 'http://h'\nheaders = { Authorization = 'Bearer hidden' }",
    ] {
        if let Ok(action) = parse(action) {
            assert!(!action.to_string().contains("hidden"), "{action}");
        }
    }
}

#[test]
fn mistakes_are_explained() {
    for (action, part) in [
        (
            "args = ['x']",
            "`command[0].action.program, http, mqtt, speak or socket` is missing",
        ),
        (
            "program = 'x'\nspeak = 'y'",
            "an action has one of program, http",
        ),
        (
            "program = 'x'\nurl = 'y'",
            "unknown key `command[0].action.url`",
        ),
        (
            "speak = 'x'\nargs = []",
            "unknown key `command[0].action.args`",
        ),
        ("speak = ' '", "something to say"),
        ("speak = '{y}'", "no sentence fills `{y}`"),
        (
            "program = 'x'\noutput = 'loud'",
            "\"event\" or \"log\" or \"speak\" or \"none\"",
        ),
        (
            "program = 'x'\nretry = { delay_ms = 1 }",
            "retry.times` is missing",
        ),
        ("program = 'x'\nretry = 3", "a table"),
        (
            "program = 'x'\nwhen_busy = 1",
            "\"wait\" or \"skip\" or \"replace\"",
        ),
        ("socket = '/run/x'", "\"unix:PATH\" or \"tcp:HOST:PORT\""),
        (
            "socket = 'unix:x'\npayload = 'a'\njson = {}",
            "left out where there is `payload`",
        ),
        (
            "socket = 'unix:x'\njson = '{\"a\": {x}}'",
            "numbers as \"{slot:number}\"",
        ),
        ("socket = 'unix:x'\njson = { a = inf }", "no nan and no inf"),
        (
            "socket = 'unix:x'\njson = { a = '{x:number} %' }",
            "stands alone in its string",
        ),
        (
            "socket = 'unix:x'\njson = { a = '{y:number}' }",
            "no sentence fills `{y}`",
        ),
    ] {
        let message = complaint(action);
        assert!(message.contains(part), "{action}: {message}");
    }
}

#[cfg(all(feature = "http", feature = "mqtt"))]
#[test]
fn mistakes_about_the_network_are_explained() {
    for (action, part) in [
        ("http = 'hue.lan'", "http:// or https://"),
        ("http = 'http://{x}/'", "slots behind the host only"),
        (
            "http = 'http://h'\nmethod = 'post'",
            "one of GET, HEAD, POST",
        ),
        (
            "http = 'http://h'\nmethod = 'HEAD'\nbody = 'x'",
            "another method",
        ),
        (
            "http = 'http://h'\nheaders = { 'a b' = 'x' }",
            "name of a header",
        ),
        (
            "http = 'http://h'\nheaders = { Host = 'x' }",
            "sets this header itself",
        ),
        ("http = 'http://h'\nheaders = { A = \"x\\ny\" }", "one line"),
        (
            "http = 'http://h'\nca_file = 'x'",
            "unless the address is https://",
        ),
        (
            "http = 'http://h'\ntoken_file = 'x'\ntoken_env = 'X'",
            "where there is `token_file`",
        ),
        (
            "http = 'http://h'\ntoken_env = 'X'\nheaders = { authorization = 'x' }",
            "not both",
        ),
        ("mqtt = 'broker'\ntopic = 'x'", "an address such as mqtt://"),
        ("mqtt = 'mqtt://h'", "topic` is missing"),
        ("mqtt = 'mqtt://h'\ntopic = 'a/#'", "without + and #"),
        ("mqtt = 'mqtt://h'\ntopic = 'a'\nqos = 3", "0 to 2"),
        (
            "mqtt = 'mqtt://h'\ntopic = 'a'\npassword_env = 'X'",
            "with a user",
        ),
        (
            "mqtt = 'mqtt://u:p@h'\ntopic = 'a'\npassword_env = 'X'",
            "without a password",
        ),
    ] {
        let message = complaint(action);
        assert!(message.contains(part), "{action}: {message}");
    }
}

#[cfg(not(feature = "http"))]
#[test]
fn a_build_without_http_says_so() {
    assert!(complaint("http = 'http://h'").contains("built without the feature `http`"));
}

#[cfg(not(feature = "mqtt"))]
#[test]
fn a_build_without_mqtt_says_so() {
    let message = complaint("mqtt = 'mqtt://h'\ntopic = 'x'");
    assert!(message.contains("built without the feature `mqtt`"));
}

#[cfg(not(feature = "tcp"))]
#[test]
fn a_build_without_tcp_says_so() {
    assert!(complaint("socket = 'tcp:h:1'").contains("built without the feature `tcp`"));
}
