//! Schemas: what fulfils them, and what is said of those that cannot be used.

use serde_json::{Value, json};

use super::tests::{bytes, constraint, is_whole};
use super::*;

fn check(schema: Value, good: &[&str], bad: &[&str]) {
    let grammar = Grammar::from_schema(&schema);
    let mut constraint = constraint(grammar.unwrap_or_else(|e| panic!("{schema}: {e}")), bytes());
    for text in good {
        serde_json::from_str::<Value>(text).unwrap();
        assert!(is_whole(&mut constraint, text), "{text} of {schema}");
    }
    for text in bad {
        assert!(!is_whole(&mut constraint, text), "{text} not of {schema}");
    }
}

#[test]
fn any_value_is_written() {
    let good = [
        "null",
        "true",
        "-0.5e-9",
        "\"\"",
        "[]",
        "{}",
        "[[], {\"a\": [1,2, \"x\"]}]",
        "\"\\u00e9\\n\\\\é😀\"",
        "\"\\ud83d\\ude00\\uD7ff\"",
    ];
    let bad = [
        "",
        "nul",
        "01",
        "1.",
        "[1,]",
        "[1  ,2]",
        "{\"a\"}",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\n\"",
        "\"\\x\"",
        "[",
        "1e999",
        " 1",
    ];
    for schema in [
        json!(true),
        json!({}),
        json!({"title": "x", "x-y": 1, "format": "date"}),
    ] {
        check(schema, &good, &bad);
    }
}

#[test]
fn types_are_kept_to() {
    check(
        json!({"type": "integer"}),
        &["0", "-1", "999999999999999999"],
        &["-0", "1.0", "00", "1e3"],
    );
    check(
        json!({"type": "number"}),
        &["0", "-0", "1.50", "2E+8"],
        &["\"1\"", ".5", "+1"],
    );
    check(
        json!({"type": "boolean"}),
        &["true", "false"],
        &["null", "True"],
    );
    check(json!({"type": "null"}), &["null"], &["0"]);
    check(
        json!({"type": ["string", "null"]}),
        &["\"a\"", "null"],
        &["1", "{}"],
    );
    check(json!({"type": "array"}), &["[]", "[1, \"a\"]"], &["{}"]);
    check(
        json!({"type": "object"}),
        &["{}", "{\"a\":1, \"b\": {}}"],
        &["[]"],
    );
}

#[test]
fn constants_are_written_as_they_are() {
    let schema = json!({"enum": ["a\"b", 1, null, {"x": [1.5]}, "a\"b"]});
    check(
        schema,
        &["\"a\\\"b\"", "1", "null", "{\"x\":[1.5]}"],
        &["\"a\"", "2", "{}"],
    );
    check(json!({"const": "é"}), &["\"é\""], &["\"e\""]);
    check(
        json!({"type": "integer", "enum": [1, 2.0, 2.5, "x"]}),
        &["1", "2.0"],
        &["2.5", "\"x\""],
    );
    check(json!({"const": 1, "enum": [2, 1]}), &["1"], &["2"]);
}

#[test]
fn lengths_of_strings_are_counted_in_characters() {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": 3});
    check(
        schema,
        &["\"a\"", "\"é😀\\n\"", "\"\\ud83d\\ude00\\u0041x\""],
        &["\"\"", "\"abcd\""],
    );
    check(
        json!({"minLength": 2}),
        &["\"ab\"", "\"abcdef\""],
        &["\"a\"", "1"],
    );
    check(
        json!({"type": "string", "maxLength": 0}),
        &["\"\""],
        &["\"a\""],
    );
}

#[test]
fn arrays_are_as_long_as_they_should_be() {
    let of =
        |least: u32, most: u32| json!({"items": {"const": 1}, "minItems": least, "maxItems": most});
    check(
        of(0, 2),
        &["[]", "[1]", "[1,1]"],
        &["[1,1,1]", "[2]", "[1,]"],
    );
    check(
        of(2, 3),
        &["[1, 1]", "[1,1,1]"],
        &["[]", "[1]", "[1,1,1,1]"],
    );
    check(of(0, 0), &["[]"], &["[1]"]);
    let tuple = json!({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}, "minItems": 1, "maxItems": 4});
    check(
        tuple,
        &["[1]", "[1,2]", "[1,2,3]", "[1,2,3,3]"],
        &["[]", "[2]", "[1,3]", "[1,2,3,3,3]"],
    );
    let closed =
        json!({"prefixItems": [{"const": 1}, {"const": 2}], "items": false, "minItems": 2});
    check(closed, &["[1,2]"], &["[1]", "[1,2,3]"]);
    let open = json!({"prefixItems": [{"const": 1}]});
    check(open, &["[]", "[1]", "[1,null]"], &["[2]"]);
    let cut = json!({"prefixItems": [{"const": 1}, {"const": 2}], "maxItems": 1});
    check(cut, &["[]", "[1]"], &["[1,2]"]);
    let long = json!({"prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 3});
    check(long, &["[1,2,2]", "[1,2,2,2]"], &["[1,2]"]);
}

#[test]
fn objects_have_the_properties_that_they_should() {
    let schema = json!({"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}, "required": ["b"]});
    check(
        schema,
        &[
            "{\"b\":2}",
            "{\"a\":1,\"b\": 2}",
            "{\"b\":2,\"c\":3}",
            "{\"a\":1, \"b\":2, \"c\":3}",
        ],
        &[
            "{}",
            "{\"a\":1}",
            "{\"b\":2,\"a\":1}",
            "{\"b\":2,}",
            "{,\"b\":2}",
            "{\"b\":2,\"d\":1}",
            "{\"b\":1}",
        ],
    );
    check(
        json!({"properties": {"a": {}}}),
        &["{}", "{\"a\":[]}"],
        &["{\"b\":1}", "1"],
    );
    check(json!({"properties": {}}), &["{}"], &["{\"a\":1}"]);
    check(
        json!({"properties": {"a": false, "b": true}}),
        &["{}", "{\"b\":1}"],
        &["{\"a\":1}"],
    );
    check(
        json!({"required": ["z"], "properties": {"a": {"const": 1}}}),
        &["{\"a\":1,\"z\":0}"],
        &["{\"a\":1}"],
    );
    check(
        json!({"type": "object", "additionalProperties": false}),
        &["{}"],
        &["{\"a\":1}"],
    );
}

#[test]
fn other_properties_have_other_names() {
    let schema = json!({"properties": {"ab": {"const": 1}, "ac\"": {"const": 2}, "é": {"const": 3}}, "additionalProperties": {"const": 0}, "required": ["ab"]});
    check(
        schema,
        &[
            "{\"ab\":1}",
            "{\"ab\":1,\"x\":0}",
            "{\"ab\":1,\"\":0,\"a\":0, \"abc\":0}",
            "{\"ab\":1,\"ac\":0,\"è\":0}",
            "{\"ab\":1,\"ac\\\"\":2,\"é\":3,\"éé\":0}",
        ],
        &[
            "{\"ab\":1,\"ab\":0}",
            "{\"ab\":1,\"é\":0}",
            "{\"ab\":1,\"\\u0061b\":0}",
            "{\"x\":0,\"ab\":1}",
            "{\"x\":0}",
        ],
    );
    check(
        json!({"additionalProperties": {"const": 0}}),
        &["{}", "{\"\\n\":0, \"b\":0}"],
        &["{\"a\":1}"],
    );
}

#[test]
fn integers_keep_their_bounds() {
    let bounds = [
        (0, 0),
        (-1, 1),
        (5, 123),
        (-123, -7),
        (-1000, 99),
        (99, 1001),
        (100, 100),
    ];
    for (least, most) in bounds {
        for schema in [
            json!({"type": "integer", "minimum": least, "maximum": most}),
            json!({"type": "integer", "exclusiveMinimum": least - 1, "exclusiveMaximum": f64::from(most) + 0.5}),
        ] {
            let mut constraint = constraint(Grammar::from_schema(&schema).unwrap(), bytes());
            for n in -1200..=1200 {
                let found = is_whole(&mut constraint, &n.to_string());
                assert_eq!(found, (least..=most).contains(&n), "{n} of {schema}");
            }
            for text in ["00", "-0", "", "-", "1.0", "01"] {
                assert!(!is_whole(&mut constraint, text), "{text} of {schema}");
            }
        }
    }
    let large = "999999999999999999";
    check(
        json!({"type": "integer", "minimum": 12}),
        &["12", "99", "100", large],
        &["11", "9", "-12"],
    );
    check(
        json!({"type": "integer", "maximum": 0.5}),
        &["0", "-1"],
        &["1", "-0"],
    );
    check(
        json!({"type": "integer", "minimum": -1e300}),
        &["0", "5"],
        &["5.0"],
    );
}

#[test]
fn numbers_keep_whole_bounds() {
    check(
        json!({"minimum": 0, "maximum": 1}),
        &["0", "0.5", "1", "1.00"],
        &["-0.1", "1.01", "2", "1e0", "-0"],
    );
    check(
        json!({"minimum": -2, "maximum": 1}),
        &["-2", "-1.99", "-2.0", "0.0", "-0.3", "1"],
        &["-2.1", "-3", "1.5"],
    );
    check(
        json!({"type": "number", "maximum": -3}),
        &["-3", "-3.5", "-100.25"],
        &["-2.9", "3", "0"],
    );
    check(
        json!({"minimum": 10, "maximum": 10}),
        &["10", "10.0"],
        &["10.1", "9"],
    );
}

#[test]
fn references_are_followed() {
    let tree = json!({"$ref": "#/$defs/no~1de", "$defs": {"no/de": {"type": "object", "properties": {
        "children": {"type": "array", "items": {"$ref": "#/$defs/no~1de"}}, "name": {"$ref": "#/definitions/name"}}, "required": ["name"]}},
        "definitions": {"name": {"type": "string"}}});
    check(
        tree,
        &[
            "{\"name\":\"x\"}",
            "{\"children\":[{\"name\":\"y\"}, {\"children\":[],\"name\":\"\"}],\"name\":\"x\"}",
        ],
        &["{}", "{\"children\":[{}],\"name\":\"x\"}"],
    );
    check(
        json!({"anyOf": [{"type": "null"}, {"items": {"$ref": "#"}}]}),
        &["null", "[null,[]]"],
        &["1"],
    );
    check(
        json!({"allOf": [{"oneOf": [{"const": 1}, {"type": "string"}]}]}),
        &["1", "\"\""],
        &["2"],
    );
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    let table = [
        (
            json!({"type": "string", "pattern": "a"}),
            "#: `pattern` is not supported here; leave it out",
        ),
        (
            json!({"properties": {"a/b~": {"items": {"not": {}}}}}),
            "#/properties/a~1b~0/items: `not` is not supported here; leave it out",
        ),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"if": true}}}),
            "#/$defs/a: `if` is not supported here; leave it out",
        ),
        (
            json!({"$ref": "#", "minimum": 1}),
            "#: `minimum` is not supported here; leave it out",
        ),
        (
            json!({"anyOf": [{}], "type": "null"}),
            "#: `type` is not supported here; leave it out",
        ),
        (
            json!({"allOf": [{}, {}]}),
            "#: `allOf` is not supported here; leave it out",
        ),
        (
            json!({"items": {}, "uniqueItems": true}),
            "#: `uniqueItems` is not supported here; leave it out",
        ),
        (
            json!({"type": "number", "exclusiveMinimum": 1}),
            "#: `exclusiveMinimum` is not supported here; leave it out",
        ),
        (
            json!({"type": "number", "minimum": 0.5}),
            "#/minimum: expected an integer as the bound of a number",
        ),
        (
            json!({"type": "integer", "minimum": "0"}),
            "#/minimum: expected a number",
        ),
        (
            json!({"type": "integer", "minimum": 2, "maximum": 1}),
            "#: no value can fulfil this; correct its bounds",
        ),
        (
            json!({"minLength": 2, "maxLength": 1}),
            "#: no value can fulfil this; correct its bounds",
        ),
        (
            json!({"minItems": 2, "maxItems": 1}),
            "#: no value can fulfil this; correct its bounds",
        ),
        (
            json!({"minItems": 2, "items": false, "prefixItems": [true]}),
            "#: no value can fulfil this; correct its bounds",
        ),
        (
            json!({"items": {"enum": []}}),
            "#/items: no value can fulfil this; correct its bounds",
        ),
        (
            json!({"required": ["a"], "additionalProperties": false}),
            "#: no value can fulfil this; correct its bounds",
        ),
        (
            json!({"required": ["a"], "properties": {"a": false}}),
            "#/properties/a: no value can fulfil this; correct its bounds",
        ),
        (
            json!(false),
            "#: no value can fulfil this; correct its bounds",
        ),
        (
            json!({"maxLength": -1}),
            "#/maxLength: expected a whole number from 0 on",
        ),
        (
            json!({"maxLength": 200000}),
            "#: more than 100000 repetitions; make the grammar smaller",
        ),
        (
            json!({"type": "text"}),
            "#/type: expected a type or a list of types: `object`, `array`, `string`, `number`, `integer`, `boolean`, `null`",
        ),
        (
            json!({"type": []}),
            "#/type: expected a type or a list of types: `object`, `array`, `string`, `number`, `integer`, `boolean`, `null`",
        ),
        (
            json!({"properties": []}),
            "#/properties: expected an object of schemas",
        ),
        (
            json!({"required": "a"}),
            "#/required: expected a list of strings",
        ),
        (
            json!({"prefixItems": {}}),
            "#/prefixItems: expected a list of schemas",
        ),
        (
            json!({"items": [{}]}),
            "#/items: expected a schema: an object, `true` or `false`",
        ),
        (json!({"anyOf": []}), "#/anyOf: expected a list of schemas"),
        (json!({"enum": 1}), "#/enum: expected a list of values"),
        (
            json!(3),
            "#: expected a schema: an object, `true` or `false`",
        ),
        (json!({"$ref": 1}), "#/$ref: expected a string"),
        (
            json!({"items": {"$ref": "#/$defs/a"}}),
            "#/items: there is no `#/$defs/a` in the schema, and others are not read",
        ),
        (
            json!({"$ref": "other.json"}),
            "#: there is no `other.json` in the schema, and others are not read",
        ),
        (
            json!({"$ref": "#"}),
            "#: `#` never comes to an end; add an alternative without itself",
        ),
        (
            json!({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
            "#: `#` never comes to an end; add an alternative without itself",
        ),
        (
            json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
            "#: `#` begins with itself; put before it what is to be read first",
        ),
    ];
    for (schema, expected) in table {
        let error = Grammar::from_schema(&schema)
            .map(|_| schema.clone())
            .unwrap_err();
        assert_eq!(error.to_string(), expected, "{schema}");
    }
}

#[test]
fn hostile_schemas_are_refused() {
    let mut deep = json!({"type": "null"});
    for _ in 0..200 {
        deep = json!({"items": deep});
    }
    let wide: serde_json::Map<String, Value> =
        (0..50_000).map(|i| (format!("{i}"), json!({}))).collect();
    for schema in [deep, json!({"properties": wide})] {
        let error = Grammar::from_schema(&schema).unwrap_err();
        assert!(matches!(error, GrammarError::TooLarge { .. }), "{error}");
    }
    let many: serde_json::Map<String, Value> =
        (0..800).map(|i| (format!("{i}"), json!({}))).collect();
    check(
        json!({"properties": many}),
        &["{\"1\":0,\"799\":0}"],
        &["{\"799\":0,\"1\":0}"],
    );
}
