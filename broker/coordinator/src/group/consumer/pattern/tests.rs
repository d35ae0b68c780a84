//! Patterns as RE2J 1.8, the library that Kafka uses, reads them: each was put to it.

use super::Pattern;
use crate::error::GroupError;

/// A pattern, a name, and whether it matches.
#[rustfmt::skip]
const ACCEPTED: [(&str, &str, bool); 82] = [
    ("foo.*", "foo", true), ("foo.*", "foobar", true), ("foo.*", "xfoo", false), ("^foo$", "foo", true),
    ("^foo$", "foo1", false), ("a|ab", "ab", true), ("a|ab", "a", true), (r"\Qa.b\E.", "a.bc", true),
    (r"\Qa.b\E.", "aXbc", false), (r"\Qa.b", "a.b", true), ("a{,2}", "a{,2}", true),
    ("a{,2}", "aa", false), ("a{", "a{", true), ("a{1", "a{1", true), ("a{2}", "aa", true),
    ("a{2,}", "aaa", true), ("{", "{", true), ("a}", "a}", true), ("a]", "a]", true), ("[]a]", "]", true),
    ("[[]", "[", true), ("[a&&b]", "&", true), ("[a&&b]", "a", true), ("[a~~b]", "~", true),
    ("[+--]", "+", true), ("[+--]", "-", true), ("[+--]", ",", true), ("[--a]", "-", true),
    ("[--a]", "a", true), ("[a-]", "-", true), ("[-a]", "-", true), ("[[:alpha:]]+", "ab", true),
    ("(?i)FOO", "foo", true), ("(?m)foo", "foo", true), ("(?s)f.o", "foo", true), ("(?U)fo*", "foo", true),
    ("(?i-s:FOO)", "foo", true), ("(?P<n>foo)", "foo", true), ("(?<n>foo)", "foo", true),
    (r"\_", "_", true), (r"\<", "<", true), (r"\%", "%", true), (r"\-", "-", true), (r"\.", ".", true),
    (r"\/", "/", true), (r"\ ", " ", true), (r"\d+", "12", true), (r"\w+", "a_1", true),
    (r"\bfoo\b", "foo", true), (r"\Afoo\z", "foo", true), (r"\x41", "A", true), (r"\x{41}", "A", true),
    (r"\101", "A", true), (r"\0", "\u{0}", true), (r"\pL", "a", true), (r"\p{Lu}", "A", true),
    (r"\p{Greek}", "a", false), (r"[\pL_]", "_", true), (r"\v", "v", false), (r"\a", "a", false),
    ("a*?", "a", true), ("|a", "a", true), ("|a", "", true), ("a||b", "b", true), ("()", "", true),
    ("a{1000}", "a", false), (r"[\w-a]", "-", true), ("[^a]", "b", true), ("[^a]", "a", false),
    ("[^]a]", "b", true), ("[^]a]", "]", false), ("x*", "", true), ("x*", "xx", true), ("a{0}", "", true),
    (r"[a\]b]", "]", true), ("^*", "", true), ("(?i)(?-i)FOO", "foo", false), ("é", "é", true),
    ("[[.a.]]", "a", false), (r"\Qab\E*", "abb", true), (r"\Qab\E*", "abab", false),
    ("(?P<1>a)", "a", true),
];

#[rustfmt::skip]
const REFUSED: [&str; 47] = [
    "[a", r"[a-\d]", "[[:foo:]]", "(?x)foo", "(?u)foo", "(?R)foo", "(?=foo)", "(?!foo)", "(?P=n)",
    "(?#c)foo", r"foo\Z", r"\Cfoo", r"\u0041", r"\1", r"(a)\1", r"\8", r"\p{Foo}", r"\E", r"\G", r"\h",
    r"\R", r"\e", "a**", "a*+", "a++", "*", "+a", "(*)", "(", ")", "a)(b", "a{1001}", "a{2,1}", "[z-a]",
    r"[b-\Qa\E]", r"[\b]", r"[a-\w]", r"\", "(?i", "(?", r"foo\", "a?{2}", "(?-)foo", "(?i-)foo", r"\Q\E*",
    "a{1}{2}", "(?P<n>a)(?P<n>b)",
];

#[test]
fn patterns_match_what_re2_matches() {
    for (pattern, topic, is_match) in ACCEPTED {
        let read = Pattern::read(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert_eq!(read.matches(topic), is_match, "{pattern} {topic}");
    }
}

#[test]
fn what_re2_cannot_read_is_refused() {
    for pattern in REFUSED {
        assert!(matches!(Pattern::read(pattern), Err(GroupError::InvalidRegularExpression(_))), "{pattern}");
    }
}

#[test]
fn the_sentence_names_the_pattern_and_the_fault() {
    let error = Pattern::read("events-[a").expect_err("the class has no end").to_string();
    assert_eq!(
        error,
        "SubscribedTopicRegex `events-[a` is not a valid regular expression: missing closing ]."
    );
}

#[test]
fn patterns_that_are_too_large_are_refused() {
    for pattern in ["a".repeat(8 * 1024 + 1), "(a{1000}){1000}".to_owned(), r"(\pL{500}){500}".to_owned()] {
        assert!(matches!(Pattern::read(&pattern), Err(GroupError::InvalidRegularExpression(_))));
    }
}

#[test]
fn a_list_of_topics_as_long_as_may_be_is_read() {
    let topics: Vec<String> = (0..400).map(|number| format!("region-{number}.events")).collect();
    let pattern = Pattern::read(&topics.join("|")).expect("it is within the limits");
    assert!(pattern.matches("region-399.events"));
    assert!(!pattern.matches("region-400.events"));
}
