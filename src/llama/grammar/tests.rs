//! The notation, what is wrong with bad grammars, and grammars that mean harm.

use std::sync::Arc;

use super::*;

pub(super) fn constraint(grammar: Grammar, tokens: Tokens) -> Constraint {
    Constraint::new(Arc::new(grammar), Arc::new(tokens)).unwrap()
}

/// Every byte as a token of that number.
pub(super) fn bytes() -> Tokens {
    Tokens::new((0..256).map(|byte| (byte, [byte as u8])))
}

pub(super) fn is_whole(constraint: &mut Constraint, text: &str) -> bool {
    constraint.reset();
    constraint.accept_bytes(text.as_bytes()).unwrap() && constraint.may_end()
}

fn check(grammar: &str, good: &[&str], bad: &[&str]) {
    let mut constraint = constraint(Grammar::from_gbnf(grammar).unwrap(), bytes());
    for text in good {
        assert!(is_whole(&mut constraint, text), "{text:?} of {grammar}");
    }
    for text in bad {
        assert!(
            !is_whole(&mut constraint, text),
            "{text:?} not of {grammar}"
        );
    }
}

#[test]
fn literals_and_escapes_are_read() {
    check(
        r#"root ::= "a\n\t\r\\\"\x41\u00e9\U0001F600\[\]""#,
        &["a\n\t\r\\\"Aé😀[]"],
        &["a"],
    );
    check(r#"root ::= """#, &[""], &["a"]);
    check("root ::= \"日本\"", &["日本"], &["日", "日本本"]);
}

#[test]
fn classes_are_read() {
    check(
        "root ::= [a-cx-]",
        &["a", "b", "c", "x", "-"],
        &["d", "", "ab"],
    );
    check(r"root ::= [-a\]\\^]", &["-", "a", "]", "\\", "^"], &["b"]);
    check(
        "root ::= [^a-y\\n]",
        &["z", "é", "😀", "A"],
        &["a", "m", "\n"],
    );
    check("root ::= [ぁ-ゟ]+", &["ぁゟ", "か"], &["a", "ア", ""]);
    check("root ::= .", &["a", "\n", "é", "\u{10ffff}"], &["", "ab"]);
}

#[test]
fn repetitions_are_read() {
    check("root ::= \"ab\"*", &["", "ab", "abab"], &["a", "aba"]);
    check("root ::= \"ab\" +", &["ab", "abab"], &["", "abb"]);
    check("root ::= \"ab\"?", &["", "ab"], &["abab"]);
    check("root ::= [ab]{2}", &["ab", "bb"], &["a", "aaa"]);
    check("root ::= [ab]{ 2 , }", &["ab", "abab"], &["a", ""]);
    check("root ::= [ab]{1,3}", &["a", "abb"], &["", "abab"]);
    check("root ::= [ab]{0,0} \"c\"", &["c"], &["ac"]);
    check(
        "root ::= (\"a\"? \"b\"?){2,3}",
        &["", "a", "baba", "ababab"],
        &["babab_", "bababa"],
    );
    check(
        "root ::= (\"a\" | \"bc\"){2,}",
        &["aa", "abca", "bcbc"],
        &["a", "", "bc"],
    );
    check("root ::= \"a\"?*", &["", "aaa"], &["b"]);
    check("root ::= (x | \"b\")* \nx ::= \"a\"?", &["", "aab"], &["c"]);
}

#[test]
fn rules_comments_and_line_breaks_are_read() {
    let grammar = "# lists\nroot ::= # first\n  item |\n  ( \"[\"\n root # nested\n\n \"]\" )\r\n\nitem ::= | \"a\" item-2\nitem-2 ::= \"b\"";
    check(grammar, &["", "ab", "[ab]", "[[]]"], &["a", "[", "[]]"]);
    check(
        "root ::= \"a\" root | \"b\" # the end",
        &["aaab", "b"],
        &["a"],
    );
}

#[test]
fn a_list_of_chess_moves_is_read() {
    let grammar = r#"
        root ::= ("1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+)
        move ::= (pawn | nonpawn | castle) [+#]?
        nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
        pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
        castle ::= "O-O" "-O"?
    "#;
    let good = "1. e4 e5\n2. Nf3 Nc6\n3. O-O-O Qxb7+\n";
    check(
        grammar,
        &[good],
        &["1. e4 e5\n", "1. e4\n", "1. e9 e5\n2. a4 a5\n"],
    );
}

#[test]
fn bad_grammars_are_told_what_is_wrong() {
    let table = [
        (
            "",
            "there is no rule `root`; call the rule so that is the whole text",
        ),
        (
            "a ::= \"b\"",
            "there is no rule `root`; call the rule so that is the whole text",
        ),
        (
            "root := \"a\"",
            "line 1, column 6: expected `::=`, found `:`",
        ),
        (
            "::= \"a\"",
            "line 1, column 1: expected the name of a rule, found `:`",
        ),
        (
            "root ::= \"a\"\n| \"b\"",
            "line 2, column 1: expected the name of a rule, found `|`",
        ),
        (
            "root ::= \"a",
            "line 1, column 12: expected `\"` at the end of the literal, found the end",
        ),
        (
            "root ::= \"a\n\"",
            "line 1, column 12: expected `\"` at the end of the literal, found a line break",
        ),
        (
            "root ::= [a",
            "line 1, column 12: expected `]` at the end of the class, found the end",
        ),
        (
            "root ::= []",
            "line 1, column 11: expected a character of the class, found `]`",
        ),
        (
            "root ::= [^]",
            "line 1, column 12: expected a character of the class, found `]`",
        ),
        (
            "root ::= [a-",
            "line 1, column 13: expected the last character of the range, found the end",
        ),
        (
            "root ::= [z-a]",
            "line 1, column 11: expected a range from the lower to the higher character, found `z-a`",
        ),
        (
            "root ::= [^\\x00-\\U0010FFFF]",
            "line 1, column 10: expected a class that some character is in, found `[^…]`",
        ),
        (
            "root ::= (\"a\"",
            "line 1, column 14: expected something to read, `|` or `)`, found the end",
        ),
        (
            "root ::= \"a\")",
            "line 1, column 13: expected something to read, `|` or the end of the line, found `)`",
        ),
        (
            "root ::= *",
            "line 1, column 10: expected something to read, `|` or the end of the line, found `*`",
        ),
        (
            "root ::= <think>",
            "line 1, column 10: expected something to read, `|` or the end of the line, found `<`",
        ),
        (
            "root ::= \"a\"{}",
            "line 1, column 14: expected how often at least, found `}`",
        ),
        (
            "root ::= \"a\"{,2}",
            "line 1, column 14: expected how often at least, found `,`",
        ),
        (
            "root ::= \"a\"{2",
            "line 1, column 15: expected `}`, found the end",
        ),
        (
            "root ::= \"a\"{2,x}",
            "line 1, column 16: expected how often at most, or `}`, found `x`",
        ),
        (
            "root ::= \"a\"{3,2}",
            "line 1, column 13: expected how often at least, then not less often at most, found `{3,2}`",
        ),
        (
            "root ::= \"a\"{100001}",
            "line 1, column 21: more than 100000 repetitions; make the grammar smaller",
        ),
        (
            "root ::= \"a\"{99999999999999999999}",
            "line 1, column 35: more than 100000 repetitions; make the grammar smaller",
        ),
        (
            "root ::= é",
            "line 1, column 10: expected something to read, `|` or the end of the line, found `é`",
        ),
        (
            "root ::= \"é\\q\"",
            "line 1, column 12: expected a character or one of the escapes \\n \\t \\r \\\\ \\\" \\[ \\] \\- \\^ \\x.. \\u.... \\U........, found `\\\\q`",
        ),
        (
            "root ::= \"\\ud800\"",
            "line 1, column 11: expected a character or one of the escapes \\n \\t \\r \\\\ \\\" \\[ \\] \\- \\^ \\x.. \\u.... \\U........, found `\\\\ud800`",
        ),
        (
            "root ::= \"\\x4\"",
            "line 1, column 11: expected a character or one of the escapes \\n \\t \\r \\\\ \\\" \\[ \\] \\- \\^ \\x.. \\u.... \\U........, found `\\\\x4`",
        ),
        (
            "root ::= a\n  b ::= c",
            "line 1, column 10: there is no rule `a`; add `a ::= …`",
        ),
        (
            "root ::= \"a\"\nroot ::= \"b\"",
            "line 2, column 1: rule `root` is defined for the second time; name one of the two otherwise",
        ),
        (
            "root ::= root \"a\" | \"b\"",
            "line 1, column 1: `root` begins with itself; put before it what is to be read first",
        ),
        (
            "root ::= \"x\" a\na ::= b\nb ::= (\"y\" | c)\nc ::= a \"z\"",
            "line 2, column 1: `a` begins with itself; put before it what is to be read first",
        ),
        (
            "root ::= e e root | \"b\"\ne ::= \"\" | \"x\"",
            "line 1, column 1: `root` begins with itself; put before it what is to be read first",
        ),
        (
            "root ::= (root \"a\"){2,3} | \"b\"",
            "line 1, column 1: `root` begins with itself; put before it what is to be read first",
        ),
        (
            "root ::= \"a\" root",
            "line 1, column 1: `root` never comes to an end; add an alternative without itself",
        ),
        (
            "root ::= \"a\"\n b ::= \"a\" c\nc ::= b",
            "line 2, column 2: `b` never comes to an end; add an alternative without itself",
        ),
    ];
    for (grammar, expected) in table {
        let error = Grammar::from_gbnf(grammar).unwrap_err();
        assert_eq!(error.to_string(), expected, "{grammar}");
    }
}

#[test]
fn literals_are_quoted() {
    for text in ["", "a\"b\\c\n\r\t\u{0}\u{7f}\u{85}é😀[x] # no", "\\n"] {
        check(
            &format!("root ::= {}", quoted(text)),
            &[text],
            &["", "x"][usize::from(text.is_empty())..],
        );
    }
}

/// What became of a grammar and a text.
#[derive(Debug, PartialEq)]
enum Fate {
    NoGrammar(GrammarError),
    LostWay(ConstraintError),
    Fine,
}

/// Compiles a grammar and follows a text. All of it takes a bounded number of steps, or this never ends.
fn fate(grammar: &str, text: &[u8]) -> Fate {
    let grammar = match Grammar::from_gbnf(grammar) {
        Ok(grammar) => Arc::new(grammar),
        Err(error) => return Fate::NoGrammar(error),
    };
    assert!(grammar.bytes() < 64 << 20, "{}", grammar.bytes());
    let follow = || {
        let mut constraint = Constraint::new(Arc::clone(&grammar), Arc::new(bytes()))?;
        for chunk in text.chunks(16) {
            assert!(constraint.accept_bytes(chunk)?);
            constraint.allowed()?;
            assert!(constraint.bytes() < 100 << 20, "{}", constraint.bytes());
        }
        Ok(())
    };
    follow().map_or_else(Fate::LostWay, |()| Fate::Fine)
}

#[test]
fn hostile_grammars_do_no_harm() {
    let n = 100_000;
    let many = |n: usize| -> String { (0..n).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect() };
    for too_large in [
        format!("root ::= {}", "(".repeat(n)),
        format!("root ::= {}\"a\"{}", "(".repeat(n), ")".repeat(n)),
        format!("root ::= \"a\"{}", "?".repeat(n)),
        format!("root ::= {}", "\"a\"? ".repeat(n)),
        format!("root ::= {}", "\"a\"? ".repeat(20_000)),
        format!("root ::= {}", "a|".repeat(2 << 20)),
        "root ::= (\"a\" \"b\"?){99999} ([^b]{99999} | \"c\"{99999})".to_owned(),
    ] {
        let fate = fate(&too_large, b"");
        let is_refused = matches!(fate, Fate::NoGrammar(GrammarError::TooLarge { .. }));
        assert!(is_refused, "{fate:?} of {:.50}", too_large);
    }
    let chain = format!("{}r9000 ::= \"a\"\nroot ::= r0", many(9000));
    assert_eq!(fate(&chain, b"a"), Fate::Fine);
    let circle = format!("{}r9000 ::= r0\nroot ::= \"a\"", many(9000));
    assert!(matches!(
        fate(&circle, b""),
        Fate::NoGrammar(GrammarError::Endless { .. })
    ));
    // Many callers of a rule that ends with any of many others: too many ways, their product.
    let callers: Vec<String> = (0..3_000).map(|i| format!("x \"{i}.\"")).collect();
    let others: Vec<String> = (0..10_000).map(|i| format!("r{i}")).collect();
    let rules: String = others
        .iter()
        .map(|rule| format!("{rule} ::= \"a\"\n"))
        .collect();
    let wide = format!(
        "root ::= {}\nx ::= {}\n{rules}",
        callers.join(" | "),
        others.join(" | ")
    );
    assert_eq!(
        fate(&wide, b"a"),
        Fate::LostWay(ConstraintError::TooAmbiguous)
    );
    let nested = "root ::= ((((\"a\"{100000}){100000}){100000}){100000}){100000}";
    assert_eq!(fate(nested, &[b'a'; 1000]), Fate::Fine);
    let optional = format!("root ::= ({})*", "\"a\"? ".repeat(400));
    assert_eq!(fate(&optional, &[b'a'; 1000]), Fate::Fine);
    let counters = "root ::= ((((\"a\"?){0,1000}){0,1000}){0,1000}){0,1000}";
    assert_eq!(
        fate(counters, &[b'a'; 1000]),
        Fate::LostWay(ConstraintError::TooAmbiguous)
    );
}

#[test]
fn ambiguous_grammars_take_bounded_time() {
    // With stacks of their own each of these would have more ways to read a text than there are atoms.
    for grammar in [
        "root ::= \"x\" root root | \"x\"",
        "root ::= \"x\" root \"a\"? | \"x\" root \"b\"? | \"\"",
        "root ::= a a a a a a a a a a a a \na ::= \"x\"* b\nb ::= (\"x\" | \"xx\" | \"xxx\")*",
        "root ::= (a | b | c)*\na ::= \"x\" root \"x\"\nb ::= \"xx\" root\nc ::= \"x\"",
        "root ::= \"x\" (root root? root? | \"y\")? root?",
    ] {
        assert_eq!(fate(grammar, &[b'x'; 96]), Fate::Fine, "{grammar}");
    }
}

#[test]
fn ambiguous_texts_are_told_right() {
    // Palindromes of even length, and something that counts.
    check(
        "root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"\"",
        &["", "abba", "aa"],
        &["ab", "aba"],
    );
    let pairs = "root ::= \"x\" root root | \"y\"";
    check(
        pairs,
        &["y", "xyy", "xxyyy", "xyxyy"],
        &["x", "xy", "yy", "xyyy"],
    );
}

#[test]
fn nesting_is_bounded() {
    let grammar = Grammar::from_gbnf("root ::= \"(\" root \")\" | \"\"").unwrap();
    let mut constraint = constraint(grammar, bytes());
    let deep = |n: usize| "(".repeat(n).into_bytes();
    assert_eq!(constraint.accept_bytes(&deep(4000)), Ok(true));
    let before = constraint.position();
    let error = constraint.accept_bytes(&deep(1000)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text is nested deeper than 4096 rules of its grammar; bound what may be within itself"
    );
    // Nothing has changed.
    assert!(constraint.go_back(&before));
    assert_eq!(constraint.accept_bytes(&[b')'; 4000]), Ok(true));
    assert!(constraint.is_over() && constraint.may_end());
}

#[test]
fn lists_by_recursion_nest_nothing() {
    let grammar = Grammar::from_gbnf("root ::= item root | \"\"\nitem ::= \"a\" | \"b\"").unwrap();
    let mut constraint = constraint(grammar, bytes());
    for _ in 0..1000 {
        assert_eq!(constraint.accept_bytes(&[b'a'; 100]), Ok(true));
    }
    assert!(constraint.bytes() < 10_000, "{}", constraint.bytes());
}

#[test]
fn tokens_end_within_characters() {
    let grammar = Grammar::from_gbnf("root ::= [é-í] \"!\"").unwrap();
    let words: [&[u8]; 8] = [
        b"\xc3",
        b"\xa9",
        b"\xad",
        b"\xae",
        b"\xa9!",
        "é".as_bytes(),
        "é!".as_bytes(),
        b"\xc3\xa8",
    ];
    let mut constraint = constraint(grammar, Tokens::new((0..).zip(words)));
    assert_eq!(constraint.allowed().unwrap().tokens(), [0, 5, 6]);
    assert_eq!(constraint.accept(0), Ok(true));
    assert_eq!(constraint.allowed().unwrap().tokens(), [1, 2, 4]);
    assert_eq!(constraint.accept(3), Ok(false));
    assert_eq!(constraint.accept(4), Ok(true));
    let allowed = constraint.allowed().unwrap();
    assert!(allowed.tokens().is_empty() && allowed.may_end() && constraint.is_over());
}

#[test]
fn positions_outlive_what_is_forgotten() {
    let schema = serde_json::json!({});
    let mut constraint = constraint(Grammar::from_schema(&schema).unwrap(), bytes());
    assert_eq!(constraint.accept_bytes(b"[[{\"a\":[\"x"), Ok(true));
    let early = constraint.position();
    let mut most = 0;
    // Every path through arrays and objects is a state of its own.
    for i in 0u32..3000 {
        assert!(constraint.go_back(&early));
        assert_eq!(constraint.accept_bytes(b"\","), Ok(true));
        for bit in 0..20 {
            let open: &[u8] = if i >> (bit % 12) & 1 == 0 {
                b"[1,"
            } else {
                b"{\"b\":"
            };
            assert_eq!(constraint.accept_bytes(open), Ok(true));
        }
        constraint.allowed().unwrap();
        most = most.max(constraint.bytes());
    }
    assert!(most < 40 << 20, "{most}");
    assert!(constraint.go_back(&early));
    assert_eq!(constraint.accept_bytes(b"\"]}]]"), Ok(true));
    assert!(constraint.is_over());
    let mut other = constraint_of_nothing();
    assert!(!other.go_back(&early) && other.may_end());
}

#[test]
fn constraints_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<Constraint>();
    moves::<Position>();
}

fn constraint_of_nothing() -> Constraint {
    constraint(
        Grammar::from_gbnf("root ::= \"\"").unwrap(),
        Tokens::default(),
    )
}

#[test]
fn a_text_of_nothing_can_only_end() {
    let mut nothing = constraint_of_nothing();
    assert!(nothing.is_over() && nothing.may_end());
    assert!(nothing.allowed().unwrap().tokens().is_empty());
    assert_eq!(nothing.accept(0), Ok(false));
}
