//! Questions, calls, and hark's own voice.

use super::*;

#[test]
fn what_is_no_command_is_a_question() {
    let mut talk = Talk::with_responder("[timers]\nenabled = true", Calls::Confirm);
    assert_eq!(
        talk.say(1.0, "What is the capital of France?"),
        ["question 1", "ask What is the capital of France?"]
    );
    talk.reply("It is", false);
    talk.reply(" Paris.", false);
    talk.reply("", true);
    assert_eq!(talk.say(5.0, "Say that again."), ["say It is Paris."]);
    assert_eq!(
        talk.say(7.0, "Lights off."),
        ["command lights 3", "do lights off"]
    );
    // Noise, and what the recogniser does not trust, is none.
    assert_eq!(talk.say(9.0, "Hm."), ["rejected no_match"]);
    assert_eq!(talk.say(10.0, "Stop. Stop!"), ["rejected no_match"]);
    talk.begin(12.0);
    assert_eq!(
        talk.end("What is it all about?", &["low_confidence"], None),
        ["rejected no_match"]
    );
    talk.say(15.0, "Set a timer for ten minutes.");
    let asked = talk.say(17.0, "How are you today?");
    assert_eq!(asked[0], "question 8");
    assert!(
        asked[1].ends_with("9 minutes 58 seconds left on the timer."),
        "{asked:?}"
    );
}

#[test]
fn a_question_is_foreseen_in_a_pause() {
    let mut talk = Talk::with_responder("", Calls::Confirm);
    talk.begin(1.0);
    assert_eq!(talk.pause("Lights off"), [""; 0]);
    assert_eq!(talk.pause("What is the"), ["foresee What is the"]);
    assert_eq!(talk.partial("What is the", ""), [""; 0]);
    assert_eq!(talk.partial("What is the", " capital"), ["stop"]);
    assert_eq!(
        talk.pause("What is the capital?"),
        ["foresee What is the capital?"]
    );
    assert_eq!(
        talk.end("What is the capital?", &[], None),
        ["question 1", "ask What is the capital?"]
    );
    // Whoever goes on speaking before anything is heard wants something else.
    talk.id += 1;
    let (t, id) = (Seconds(5.0), talk.id);
    let effects = talk
        .control
        .decide(&Event::SpeechStart { t, id }, talk.now());
    assert_eq!(shown(effects), ["stop"]);
}

#[test]
fn in_wake_mode_only_what_is_addressed_is_asked() {
    let mut talk = Talk::with_responder(WAKE, Calls::Confirm);
    assert_eq!(
        talk.say(1.0, "What is the capital?"),
        ["rejected not_addressed"]
    );
    talk.begin(20.0);
    assert_eq!(talk.pause("what is that"), [""; 0]);
    assert_eq!(
        talk.pause("Hey hark, what is that"),
        ["foresee what is that"]
    );
    assert_eq!(
        talk.end("Hey hark, what is that", &[], None),
        ["wake hey hark", "question 2", "ask what is that"]
    );
}

#[test]
fn calls_of_the_model_are_asked_about() {
    let mut talk = Talk::with_responder("", Calls::Confirm);
    talk.say(1.0, "It is far too hot in here.");
    assert_eq!(
        talk.call("close the garage door"),
        [
            "confirm close asked",
            "say \"close the garage door\": yes or no?"
        ]
    );
    assert_eq!(
        talk.say(4.0, "Yes."),
        ["confirm close yes", "command close 1", "do close garage"]
    );
    // A command that is safe can be taken back, and is done.
    talk.say(6.0, "It is dark in here.");
    assert_eq!(talk.call("lights on"), ["command lights 3", "do lights on"]);
    talk.say(9.0, "Do something about it.");
    assert_eq!(talk.call("open the window"), ["rejected no_match"]);

    let mut talk = Talk::with_responder("", Calls::Always);
    talk.say(1.0, "It is far too hot in here.");
    assert_eq!(
        talk.call("close the garage door"),
        ["command close 1", "do close garage"]
    );
    assert_eq!(
        talk.call("open the front door"),
        ["confirm open asked", "say Really open the front?"]
    );
}

#[test]
fn hark_does_not_hear_itself() {
    let mut talk = Talk::with_responder("", Calls::Confirm);
    talk.begin(10.0);
    talk.speak("You can say lights off, or open the garage door.", true);
    assert_eq!(talk.partial("you can say lights off", ""), [""; 0]);
    assert_eq!(talk.pause("You can say lights off"), [""; 0]);
    assert_eq!(
        talk.end("You can say lights off.", &[], None),
        ["rejected own_voice"]
    );
    talk.speak("You can say lights off, or open the garage door.", false);
    assert_eq!(
        talk.say(11.7, "Open the garage door."),
        ["rejected own_voice"]
    );
    // Later it is somebody else.
    assert_eq!(
        talk.say(20.0, "Lights off."),
        ["command lights 3", "do lights off"]
    );
}

#[test]
fn somebody_who_interrupts_is_heard_through_its_own_voice() {
    let mut talk = Talk::with_responder(WAKE, Calls::Confirm);
    let text = "The garage door is a large door that is wide enough for a car.";
    talk.begin(10.0);
    talk.speak(text, true);
    assert_eq!(talk.partial("the garage door is a large", ""), [""; 0]);
    assert_eq!(
        talk.partial("the garage door is a large door", " stop"),
        ["hush", "mute speech true"]
    );
    assert_eq!(
        talk.end("The garage door is a large door stop.", &[], None),
        [""; 0]
    );
    // The wake phrase does so, too, and what follows it counts.
    talk.begin(15.0);
    talk.speak(text, true);
    assert_eq!(
        talk.partial("that is wide enough hey hark", ""),
        ["hush", "mute speech true"]
    );
    assert_eq!(
        talk.end("That is wide enough. Hey hark, lights off.", &[], None),
        ["wake hey hark", "command lights 2", "do lights off"]
    );
    // Without its own voice in the microphone, as with headphones.
    talk.begin(30.0);
    talk.speak(text, true);
    assert_eq!(talk.partial("Hey hark", ""), ["hush", "mute speech true"]);
}
