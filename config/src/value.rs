//! The types that a key's value can have, what is valid, and how a value is read and printed.
//!
//! Values are text everywhere but in the typed structs: on the wire, in files and in the metadata log. The messages for
//! invalid ones are Apache Kafka's, since tools match on them. Source: ConfigDef.java.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use crate::address_limits::AddressLimits;
use crate::throttled_replicas::ThrottledReplicas;

/// The type of a key's value, as Kafka names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text, without the white space around it.
    String,
    /// 32 bits, signed.
    Int,
    /// 16 bits, signed.
    Short,
    /// 64 bits, signed.
    Long,
    /// A floating-point number.
    Double,
    /// Texts with commas between them; empty text is the empty list.
    List,
    /// The name of a Java class, which this broker cannot load.
    Class,
    /// Text that is never shown.
    Password,
}

/// What is valid beyond the type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Everything the type allows.
    Any,
    /// A number of at least this.
    AtLeast(i64),
    /// How many threads a pool has: one or more, and from one change to the next no less than half and no more than double.
    Threads,
    /// A number between the two, both inclusive.
    Between(i64, i64),
    /// A number between the first two, both inclusive, or the third.
    BetweenOr(i64, i64, i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of these texts.
    ListOf(&'static [&'static str]),
    /// A list of these texts with one entry or more, none of them twice.
    SomeOf(&'static [&'static str]),
    /// Replicas of a topic, as [`ThrottledReplicas`] reads them.
    Replicas,
    /// Addresses with a count each, as [`AddressLimits`] reads them.
    AddressLimits,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of type [`ValueType::Boolean`].
    Boolean(bool),
    /// Of one of the integer types, within its range.
    Integer(i64),
    /// Of type [`ValueType::Double`].
    Double(f64),
    /// Of type [`ValueType::String`], [`ValueType::Class`] or [`ValueType::Password`].
    Text(String),
    /// Of type [`ValueType::List`].
    List(Vec<String>),
}

/// Why a text is no valid value. The sentences are Kafka's.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InvalidReason {
    /// Not a number, or outside of the type's range.
    #[error("Not a number of type {0}")]
    NotANumber(ValueType),
    /// Neither `true` nor `false`.
    #[error("Expected value to be either true or false")]
    NotABoolean,
    /// Below the smallest valid number.
    #[error("Value must be at least {0}")]
    TooSmall(i64),
    /// Above the largest valid number.
    #[error("Value must be no more than {0}")]
    TooLarge(i64),
    /// Outside of the range, and not the one number allowed beside it.
    #[error("Value must be between {0} and {1} or equal to {2}")]
    OutOfRange(i64, i64, i64),
    /// None of the valid texts.
    #[error("String must be one of: {}", .0.join(", "))]
    NotOneOf(&'static [&'static str]),
    /// None of the valid texts, whose case does not matter.
    #[error("String must be one of (case insensitive): {}", .0.join(", "))]
    NotOneOfAnyCase(&'static [&'static str]),
    /// A list with nothing between two commas.
    #[error("List entries must not be empty")]
    EmptyEntry,
    /// A list without an entry where one is needed.
    #[error("List must not be empty. Valid values include: {}", .0.join(", "))]
    NoEntry(&'static [&'static str]),
    /// A list with an entry twice.
    #[error("List values must not be duplicated.")]
    RepeatedEntry,
    /// A list with an entry that names no replica.
    #[error(
        "it must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    )]
    NoReplicas,
    /// A text that gives no count to an address.
    #[error("it must be a list of addresses with a count each: 127.0.0.1:100,::1:200")]
    NoAddressLimits,
}

/// A Rust type that a [`Value`] of the right type converts to and from.
pub(crate) trait Typed {
    /// Converts a value; the table gives the key a type that fits, and a test compares the two.
    fn of(value: &Value) -> Self;
    /// Converts back.
    fn value(&self) -> Value;
}

impl ValueType {
    /// The number of this type in a DescribeConfigs answer. Source: DescribeConfigsResponse.ConfigType.
    #[must_use]
    pub fn wire_number(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Whether values of this type are never shown.
    #[must_use]
    pub fn is_sensitive(self) -> bool {
        self == Self::Password
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any"),
            Self::AtLeast(min) => write!(formatter, "at least {min}"),
            Self::Threads => formatter.write_str("at least 1"),
            Self::Between(min, max) => write!(formatter, "{min} to {max}"),
            Self::BetweenOr(min, max, or) => write!(formatter, "{min} to {max}, or {or}"),
            Self::OneOf(texts) => formatter.write_str(&texts.join(", ")),
            Self::OneOfAnyCase(texts) => formatter.write_str(&texts.join(", ").to_lowercase()),
            Self::ListOf(texts) | Self::SomeOf(texts) => write!(formatter, "a list of {}", texts.join(", ")),
            Self::Replicas => formatter.write_str("a list of partition:broker, or *"),
            Self::AddressLimits => formatter.write_str("a list of address:count"),
        }
    }
}

/// As Kafka prints it, such that reading it again gives the same value.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Double(value) => write!(formatter, "{value:?}"),
            Self::Text(value) => formatter.write_str(value),
            Self::List(values) => formatter.write_str(&values.join(",")),
        }
    }
}

/// Reads `text` as a value of that type, and checks it against the rule.
///
/// # Errors
/// When the text is not of that type or breaks the rule.
pub fn read(text: &str, value_type: ValueType, rule: Rule) -> Result<Value, InvalidReason> {
    let value = read_type(text.trim(), value_type)?;
    check(&value, rule)?;
    Ok(value)
}

/// Splits the text of a list as Kafka does: white space around commas does not count, empty text has no entries.
#[must_use]
pub fn split_list(text: &str) -> Vec<&str> {
    let text = text.trim();
    if text.is_empty() { Vec::new() } else { text.split(',').map(str::trim).collect() }
}

/// The part of a value that is wrong for that reason: one entry of a list, else all of the text.
pub(crate) fn culprit<'a>(text: &'a str, value_type: ValueType, reason: &InvalidReason) -> &'a str {
    let InvalidReason::NotOneOf(valid) = reason else { return text };
    let entries = if value_type == ValueType::List { split_list(text) } else { Vec::new() };
    entries.into_iter().find(|entry| !valid.contains(entry)).unwrap_or(text)
}

fn read_type(text: &str, value_type: ValueType) -> Result<Value, InvalidReason> {
    let not_a_number = || InvalidReason::NotANumber(value_type);
    match value_type {
        ValueType::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        ValueType::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        ValueType::Boolean => Err(InvalidReason::NotABoolean),
        ValueType::Short => {
            text.parse::<i16>().map(|number| Value::Integer(number.into())).map_err(|_| not_a_number())
        }
        ValueType::Int => {
            text.parse::<i32>().map(|number| Value::Integer(number.into())).map_err(|_| not_a_number())
        }
        ValueType::Long => text.parse::<i64>().map(Value::Integer).map_err(|_| not_a_number()),
        // NaN is a number to Java, and passes every range there; no key means anything by it.
        ValueType::Double => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Double(number)),
            Ok(_) | Err(_) => Err(not_a_number()),
        },
        ValueType::String | ValueType::Class | ValueType::Password => Ok(Value::Text(text.to_owned())),
        ValueType::List => Ok(Value::List(split_list(text).into_iter().map(str::to_owned).collect())),
    }
}

fn check(value: &Value, rule: Rule) -> Result<(), InvalidReason> {
    match (rule, value) {
        (Rule::AtLeast(min), _) => check_range(value, min, i64::MAX),
        (Rule::Threads, _) => check_range(value, 1, i64::MAX),
        (Rule::Between(min, max), _) => check_range(value, min, max),
        (Rule::BetweenOr(_, _, or), Value::Integer(number)) if *number == or => Ok(()),
        (Rule::BetweenOr(min, max, or), _) => {
            check_range(value, min, max).map_err(|_| InvalidReason::OutOfRange(min, max, or))
        }
        (Rule::OneOf(texts), Value::Text(text)) if !texts.contains(&text.as_str()) => {
            Err(InvalidReason::NotOneOf(texts))
        }
        (Rule::OneOfAnyCase(texts), Value::Text(text))
            if !texts.iter().any(|valid| valid.eq_ignore_ascii_case(text)) =>
        {
            Err(InvalidReason::NotOneOfAnyCase(texts))
        }
        (Rule::ListOf(texts), Value::List(entries)) => check_entries(entries, texts),
        (Rule::SomeOf(texts), Value::List(entries)) => {
            if entries.is_empty() {
                return Err(InvalidReason::NoEntry(texts));
            }
            if entries.iter().collect::<BTreeSet<_>>().len() < entries.len() {
                return Err(InvalidReason::RepeatedEntry);
            }
            check_entries(entries, texts)
        }
        (Rule::Replicas, Value::List(entries)) if ThrottledReplicas::of_entries(entries).is_none() => {
            Err(InvalidReason::NoReplicas)
        }
        (Rule::AddressLimits, Value::Text(text)) if AddressLimits::read(text).is_none() => {
            Err(InvalidReason::NoAddressLimits)
        }
        (
            Rule::Any
            | Rule::OneOf(_)
            | Rule::OneOfAnyCase(_)
            | Rule::ListOf(_)
            | Rule::SomeOf(_)
            | Rule::Replicas
            | Rule::AddressLimits,
            _,
        ) => Ok(()),
    }
}

fn check_entries(entries: &[String], valid: &'static [&'static str]) -> Result<(), InvalidReason> {
    entries.iter().try_for_each(|entry| match entry.as_str() {
        "" => Err(InvalidReason::EmptyEntry),
        entry if valid.contains(&entry) => Ok(()),
        _ => Err(InvalidReason::NotOneOf(valid)),
    })
}

fn check_range(value: &Value, min: i64, max: i64) -> Result<(), InvalidReason> {
    // The bounds of the keys that take a fraction are small, so the conversion is exact.
    let (below, above) = match value {
        Value::Integer(number) => (*number < min, *number > max),
        Value::Double(number) => (*number < min as f64, max < i64::MAX && *number > max as f64),
        Value::Boolean(_) | Value::Text(_) | Value::List(_) => (false, false),
    };
    if below {
        Err(InvalidReason::TooSmall(min))
    } else if above {
        Err(InvalidReason::TooLarge(max))
    } else {
        Ok(())
    }
}

macro_rules! typed_integer {
    ($($integer:ty),*) => {$(
        impl Typed for $integer {
            fn of(value: &Value) -> Self {
                match value {
                    Value::Integer(number) => Self::try_from(*number).expect("the key's type bounds its values"),
                    Value::Boolean(_) | Value::Double(_) | Value::Text(_) | Value::List(_) => mismatch(value),
                }
            }

            fn value(&self) -> Value {
                Value::Integer(i64::from(*self))
            }
        }
    )*};
}

typed_integer!(i16, i32, i64);

impl Typed for bool {
    fn of(value: &Value) -> Self {
        match value {
            Value::Boolean(value) => *value,
            Value::Integer(_) | Value::Double(_) | Value::Text(_) | Value::List(_) => mismatch(value),
        }
    }

    fn value(&self) -> Value {
        Value::Boolean(*self)
    }
}

impl Typed for Vec<String> {
    fn of(value: &Value) -> Self {
        match value {
            Value::List(entries) => entries.clone(),
            Value::Boolean(_) | Value::Integer(_) | Value::Double(_) | Value::Text(_) => mismatch(value),
        }
    }

    fn value(&self) -> Value {
        Value::List(self.clone())
    }
}

impl Typed for f64 {
    fn of(value: &Value) -> Self {
        match value {
            Value::Double(number) => *number,
            Value::Boolean(_) | Value::Integer(_) | Value::Text(_) | Value::List(_) => mismatch(value),
        }
    }

    fn value(&self) -> Value {
        Value::Double(*self)
    }
}

fn mismatch<T>(value: &Value) -> T {
    panic!("the typed struct and the table disagree on the type of {value:?}")
}
