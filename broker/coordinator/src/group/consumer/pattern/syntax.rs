//! From RE2's syntax to that of the crate `regex`. Nearly all of it is the same; what differs:
//!
//! - RE2 reads `\Q…\E`, octal escapes and any escaped punctuation; a brace that begins no repetition, and `[`, `&&`,
//!   `~~`, `--` in a class, stand for themselves.
//! - RE2 refuses a repetition of a repetition, counts above 1,000, and flags other than `imsU`.
//! - `\d`, `\s`, `\w` and `\b` mean ASCII.
//!
//! Source: the syntax of RE2 (`com.google.re2j.Parser`, 1.8); the tests hold what it answers.

use std::collections::BTreeSet;

/// The most repetitions that RE2 counts.
const REPETITIONS_MAX: u32 = 1000;

/// A pattern that the crate reads as RE2 reads the original.
pub(super) struct Translated {
    pub(super) text: String,
    /// Whether it speaks of more letters than ASCII has.
    pub(super) is_unicode: bool,
}

/// Translates a pattern, or says in a few words why it is none.
pub(super) fn translate(pattern: &str) -> Result<Translated, String> {
    let mut translator = Translator {
        rest: pattern,
        text: String::with_capacity(pattern.len() + 16),
        is_unicode: !pattern.is_ascii(),
        depth: 0,
        names: BTreeSet::new(),
        before: Before::Nothing,
    };
    while let Some(first) = translator.next() {
        translator.piece(first)?;
    }
    if translator.depth > 0 {
        return Err("missing closing )".to_owned());
    }
    Ok(Translated { text: translator.text, is_unicode: translator.is_unicode })
}

/// What stands before a repetition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Something,
    Repetition,
}

struct Translator<'a> {
    rest: &'a str,
    text: String,
    is_unicode: bool,
    depth: usize,
    names: BTreeSet<&'a str>,
    before: Before,
}

impl<'a> Translator<'a> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn take(&mut self, prefix: &str) -> bool {
        let stripped = self.rest.strip_prefix(prefix);
        self.rest = stripped.unwrap_or(self.rest);
        stripped.is_some()
    }

    /// Everything up to `end`, which is consumed too.
    fn take_until(&mut self, end: &str) -> Option<&'a str> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before)
    }

    fn piece(&mut self, first: char) -> Result<(), String> {
        match first {
            '\\' => return self.escape(),
            '[' => self.class()?,
            '(' => return self.group(),
            ')' => {
                self.depth = self.depth.checked_sub(1).ok_or("unexpected )")?;
                self.text.push(')');
            }
            '|' => {
                self.text.push('|');
                self.before = Before::Nothing;
                return Ok(());
            }
            '*' | '+' | '?' => return self.repetition(&first.to_string()),
            '{' => match counted(self.rest)? {
                Some(length) => {
                    let (counts, rest) = self.rest.split_at(length);
                    self.rest = rest;
                    return self.repetition(&format!("{{{counts}"));
                }
                None => self.text.push_str(r"\{"),
            },
            '.' | '^' | '$' => self.text.push(first),
            literal => push_literal(&mut self.text, literal),
        }
        self.before = Before::Something;
        Ok(())
    }

    fn repetition(&mut self, operator: &str) -> Result<(), String> {
        match self.before {
            Before::Nothing => return Err("missing argument to repetition operator".to_owned()),
            Before::Repetition => return Err("invalid nested repetition operator".to_owned()),
            Before::Something => {}
        }
        self.text.push_str(operator);
        if self.take("?") {
            self.text.push('?');
        }
        self.before = Before::Repetition;
        Ok(())
    }

    fn group(&mut self) -> Result<(), String> {
        self.before = Before::Nothing;
        if !self.take("?") {
            self.depth += 1;
            self.text.push('(');
            return Ok(());
        }
        for opening in ["P<", "<"] {
            if !self.rest.starts_with("<=") && !self.rest.starts_with("<!") && self.take(opening) {
                // The name plays no part, and those of RE2 may begin with a digit.
                let name = self.take_until(">").ok_or("invalid named capture")?;
                if name.is_empty()
                    || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
                {
                    return Err("invalid named capture".to_owned());
                }
                if !self.names.insert(name) {
                    return Err("duplicate capture group name".to_owned());
                }
                self.depth += 1;
                self.text.push('(');
                return Ok(());
            }
        }
        let length = self.rest.find([':', ')']).ok_or(UNSUPPORTED)?;
        let (flags, rest) = self.rest.split_at(length);
        let is_plausible = flags.chars().all(|flag| "imsU-".contains(flag)) && !flags.ends_with('-');
        if !is_plausible || flags.matches('-').count() > 1 || (flags.is_empty() && rest.starts_with(')')) {
            return Err(UNSUPPORTED.to_owned());
        }
        let closes = rest.starts_with(')');
        self.rest = rest.get(1..).unwrap_or_default();
        self.text.push_str("(?");
        self.text.push_str(flags);
        self.text.push(if closes { ')' } else { ':' });
        self.depth += usize::from(!closes);
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        if self.take("Q") {
            let (literal, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
            self.rest = rest;
            literal.chars().for_each(|literal| push_literal(&mut self.text, literal));
            if !literal.is_empty() {
                self.before = Before::Something;
            }
            return Ok(());
        }
        self.before = Before::Something;
        match self.rest.chars().next() {
            Some('b') => self.text.push_str(r"(?-u:\b)"),
            Some('B') => self.text.push_str(r"(?-u:\B)"),
            Some(anchor @ ('A' | 'z')) => self.text.extend(['\\', anchor]),
            _ => {
                let escaped = self.escaped()?;
                self.text.push_str(&escaped.text);
                return Ok(());
            }
        }
        self.next();
        Ok(())
    }

    /// What may be escaped within a class as well as outside.
    fn escaped(&mut self) -> Result<Item, String> {
        let escaped = self.next().ok_or("trailing backslash at end of expression")?;
        let set = |text: &str| Ok(Item { text: text.to_owned(), is_one: false });
        let one = |character: u32| Ok(Item { text: format!(r"\x{{{character:X}}}"), is_one: true });
        match escaped {
            'd' => set("[0-9]"),
            'D' => set("[^0-9]"),
            's' => set(r"[\t\n\f\r ]"),
            'S' => set(r"[^\t\n\f\r ]"),
            'w' => set("[0-9A-Za-z_]"),
            'W' => set("[^0-9A-Za-z_]"),
            'a' | 'f' | 'n' | 'r' | 't' | 'v' => Ok(Item { text: format!(r"\{escaped}"), is_one: true }),
            'p' | 'P' => self.property(escaped),
            'x' => one(self.hexadecimal().ok_or(INVALID_ESCAPE)?),
            '0'..='7' => one(self.octal(escaped).ok_or(INVALID_ESCAPE)?),
            escaped if escaped.is_ascii() && !escaped.is_ascii_alphanumeric() => {
                let mut text = String::new();
                push_literal(&mut text, escaped);
                Ok(Item { text, is_one: true })
            }
            _ => Err(INVALID_ESCAPE.to_owned()),
        }
    }

    /// A property of Unicode: `\pL`, `\p{Greek}`.
    fn property(&mut self, escaped: char) -> Result<Item, String> {
        self.is_unicode = true;
        let name = if self.take("{") {
            format!("{{{}}}", self.take_until("}").ok_or("invalid character class range")?)
        } else {
            self.next().ok_or("invalid character class range")?.to_string()
        };
        Ok(Item { text: format!(r"\{escaped}{name}"), is_one: false })
    }

    /// `\x41`, `\x{41}`.
    fn hexadecimal(&mut self) -> Option<u32> {
        if self.take("{") {
            return u32::from_str_radix(self.take_until("}")?, 16).ok();
        }
        let digits = self.rest.get(..2)?;
        self.rest = self.rest.get(2..)?;
        u32::from_str_radix(digits, 16).ok()
    }

    /// `\0`, `\101`; a single digit other than 0 would be a reference back, which RE2 does not have.
    fn octal(&mut self, first: char) -> Option<u32> {
        let more = self.rest.chars().take(2).take_while(|digit| ('0'..='7').contains(digit)).count();
        let (digits, rest) = self.rest.split_at(more);
        self.rest = rest;
        if first != '0' && digits.is_empty() {
            return None;
        }
        u32::from_str_radix(&format!("{first}{digits}"), 8).ok()
    }

    fn class(&mut self) -> Result<(), String> {
        self.text.push('[');
        if self.take("^") {
            self.text.push('^');
        }
        let mut is_first = true;
        while is_first || !self.take("]") {
            is_first = false;
            let low = self.item()?;
            self.text.push_str(&low.text);
            let mut ahead = self.rest.chars();
            if low.is_one && ahead.next() == Some('-') && ahead.next().is_some_and(|end| end != ']') {
                self.next();
                let high = self.item()?;
                if !high.is_one {
                    return Err("invalid character class range".to_owned());
                }
                self.text.push('-');
                self.text.push_str(&high.text);
            }
        }
        self.text.push(']');
        Ok(())
    }

    /// A character of a class, or a set of them.
    fn item(&mut self) -> Result<Item, String> {
        let first = self.next().ok_or("missing closing ]")?;
        if first == '\\' {
            return self.escaped();
        }
        if first == '['
            && let Some((name, rest)) = self.rest.strip_prefix(':').and_then(|rest| rest.split_once(":]"))
        {
            if !POSIX_CLASSES.contains(&name.trim_start_matches('^')) {
                return Err("invalid character class range".to_owned());
            }
            self.rest = rest;
            return Ok(Item { text: format!("[:{name}:]"), is_one: false });
        }
        let mut text = String::new();
        push_literal(&mut text, first);
        Ok(Item { text, is_one: true })
    }
}

/// The classes that have names, `[[:alpha:]]`.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];
const UNSUPPORTED: &str = "invalid or unsupported Perl syntax";
const INVALID_ESCAPE: &str = "invalid escape sequence";

/// A part of a class; only one character can be the end of a range.
struct Item {
    text: String,
    is_one: bool,
}

fn push_literal(text: &mut String, literal: char) {
    if r"\.+*?()|[]{}^$#&-~".contains(literal) {
        text.push('\\');
    }
    text.push(literal);
}

/// How long a counted repetition is without its opening brace; `None` where the brace stands for itself.
fn counted(rest: &str) -> Result<Option<usize>, String> {
    let Some((counts, _)) = rest.split_once('}') else { return Ok(None) };
    let (least, most) = counts.split_once(',').unwrap_or((counts, counts));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(least) || !(most.is_empty() || is_number(most)) {
        return Ok(None);
    }
    let least = least.parse().unwrap_or(u32::MAX);
    let most = if most.is_empty() { least } else { most.parse().unwrap_or(u32::MAX) };
    if least > most || most > REPETITIONS_MAX {
        return Err("invalid repeat count".to_owned());
    }
    Ok(Some(counts.len() + 1))
}
