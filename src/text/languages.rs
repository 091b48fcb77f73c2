//! The languages of Whisper's multilingual models.
//!
//! The order is the order of the language tokens (Radford et al. 2022, `tokenizer.py` of the
//! released code); models of the third generation added Cantonese at the end.

/// Code and English name of each language, in the order of the language tokens.
pub const LANGUAGES: [(&str, &str); 100] = [
    ("en", "english"),
    ("zh", "chinese"),
    ("de", "german"),
    ("es", "spanish"),
    ("ru", "russian"),
    ("ko", "korean"),
    ("fr", "french"),
    ("ja", "japanese"),
    ("pt", "portuguese"),
    ("tr", "turkish"),
    ("pl", "polish"),
    ("ca", "catalan"),
    ("nl", "dutch"),
    ("ar", "arabic"),
    ("sv", "swedish"),
    ("it", "italian"),
    ("id", "indonesian"),
    ("hi", "hindi"),
    ("fi", "finnish"),
    ("vi", "vietnamese"),
    ("he", "hebrew"),
    ("uk", "ukrainian"),
    ("el", "greek"),
    ("ms", "malay"),
    ("cs", "czech"),
    ("ro", "romanian"),
    ("da", "danish"),
    ("hu", "hungarian"),
    ("ta", "tamil"),
    ("no", "norwegian"),
    ("th", "thai"),
    ("ur", "urdu"),
    ("hr", "croatian"),
    ("bg", "bulgarian"),
    ("lt", "lithuanian"),
    ("la", "latin"),
    ("mi", "maori"),
    ("ml", "malayalam"),
    ("cy", "welsh"),
    ("sk", "slovak"),
    ("te", "telugu"),
    ("fa", "persian"),
    ("lv", "latvian"),
    ("bn", "bengali"),
    ("sr", "serbian"),
    ("az", "azerbaijani"),
    ("sl", "slovenian"),
    ("kn", "kannada"),
    ("et", "estonian"),
    ("mk", "macedonian"),
    ("br", "breton"),
    ("eu", "basque"),
    ("is", "icelandic"),
    ("hy", "armenian"),
    ("ne", "nepali"),
    ("mn", "mongolian"),
    ("bs", "bosnian"),
    ("kk", "kazakh"),
    ("sq", "albanian"),
    ("sw", "swahili"),
    ("gl", "galician"),
    ("mr", "marathi"),
    ("pa", "punjabi"),
    ("si", "sinhala"),
    ("km", "khmer"),
    ("sn", "shona"),
    ("yo", "yoruba"),
    ("so", "somali"),
    ("af", "afrikaans"),
    ("oc", "occitan"),
    ("ka", "georgian"),
    ("be", "belarusian"),
    ("tg", "tajik"),
    ("sd", "sindhi"),
    ("gu", "gujarati"),
    ("am", "amharic"),
    ("yi", "yiddish"),
    ("lo", "lao"),
    ("uz", "uzbek"),
    ("fo", "faroese"),
    ("ht", "haitian creole"),
    ("ps", "pashto"),
    ("tk", "turkmen"),
    ("nn", "nynorsk"),
    ("mt", "maltese"),
    ("sa", "sanskrit"),
    ("lb", "luxembourgish"),
    ("my", "myanmar"),
    ("bo", "tibetan"),
    ("tl", "tagalog"),
    ("mg", "malagasy"),
    ("as", "assamese"),
    ("tt", "tatar"),
    ("haw", "hawaiian"),
    ("ln", "lingala"),
    ("ha", "hausa"),
    ("ba", "bashkir"),
    ("jw", "javanese"),
    ("su", "sundanese"),
    ("yue", "cantonese"),
];

/// Other names for languages of the table, with their codes. `jv` and `nb` are the ISO 639 codes
/// that today's users type for what the models call `jw` and `no`.
const ALIASES: [(&str, &str); 17] = [
    ("burmese", "my"),
    ("castilian", "es"),
    ("farsi", "fa"),
    ("flemish", "nl"),
    ("haitian", "ht"),
    ("jv", "jw"),
    ("letzeburgesch", "lb"),
    ("mandarin", "zh"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("nb", "no"),
    ("norwegian nynorsk", "nn"),
    ("panjabi", "pa"),
    ("pushto", "ps"),
    ("sinhalese", "si"),
    ("valencian", "ca"),
    ("fil", "tl"),
];

/// The English name of a language, in lower case, by its code (`"de"` gives `"german"`).
pub fn language_name(code: &str) -> Option<&'static str> {
    LANGUAGES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, name)| *name)
}

/// The code of a language as a user may write it: a code, an English name, a known other name, in
/// any case, or a locale such as `en-GB` or `pt_BR.UTF-8`.
pub fn language_from(name_or_code: &str) -> Option<&'static str> {
    let wanted = name_or_code.trim().to_lowercase();
    let exact = |wanted: &str| {
        LANGUAGES
            .iter()
            .find(|(code, name)| *code == wanted || *name == wanted)
            .or_else(|| {
                let (_, code) = ALIASES.iter().find(|(alias, _)| *alias == wanted)?;
                LANGUAGES.iter().find(|(known, _)| known == code)
            })
            .map(|(code, _)| *code)
    };
    exact(&wanted).or_else(|| exact(wanted.split(['-', '_']).next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_unique() {
        for (i, (code, name)) in LANGUAGES.iter().enumerate() {
            for (other_code, other_name) in &LANGUAGES[i + 1..] {
                assert_ne!(code, other_code);
                assert_ne!(name, other_name);
            }
        }
    }

    #[test]
    fn every_alias_leads_to_a_language_and_hides_none() {
        for (alias, code) in ALIASES {
            assert_eq!(language_from(alias), Some(code));
            assert!(LANGUAGES.iter().all(|(c, n)| *c != alias && *n != alias));
        }
    }

    #[test]
    fn what_users_write_is_understood() {
        assert_eq!(language_from("German"), Some("de"));
        assert_eq!(language_from(" DE "), Some("de"));
        assert_eq!(language_from("en-GB"), Some("en"));
        assert_eq!(language_from("pt_BR.UTF-8"), Some("pt"));
        assert_eq!(language_from("Haitian Creole"), Some("ht"));
        assert_eq!(language_from("klingon"), None);
        assert_eq!(language_from(""), None);
        assert_eq!(language_name("yue"), Some("cantonese"));
        assert_eq!(language_name("English"), None);
    }
}
