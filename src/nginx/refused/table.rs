//! nginx's directives: where each may stand, and what it takes. The facts are in `directives.txt`.

use super::value;
use crate::project::Version;
use crate::syntax::Word;

/// A set of contexts.
pub(super) type Contexts = u16;

pub(super) const MAIN: Contexts = 1;
pub(super) const EVENTS: Contexts = 1 << 1;
pub(super) const HTTP: Contexts = 1 << 2;
pub(super) const SERVER: Contexts = 1 << 3;
pub(super) const LOCATION: Contexts = 1 << 4;
pub(super) const SERVER_IF: Contexts = 1 << 5;
pub(super) const LOCATION_IF: Contexts = 1 << 6;
pub(super) const LIMIT_EXCEPT: Contexts = 1 << 7;
pub(super) const UPSTREAM: Contexts = 1 << 8;
pub(super) const STREAM: Contexts = 1 << 9;
pub(super) const STREAM_SERVER: Contexts = 1 << 10;
pub(super) const STREAM_UPSTREAM: Contexts = 1 << 11;
pub(super) const ANY: Contexts = u16::MAX;

/// What a directive's arguments may be, as far as all versions agree.
#[derive(Debug)]
pub(super) enum Value {
    Any,
    /// Anything, once in a block.
    Once,
    Flag,
    Size,
    Offset,
    Number(u64, u64),
    Seconds,
    Milliseconds,
    Buffers,
    OneOf(&'static [&'static str]),
    SomeOf(&'static [&'static str]),
}

/// One module's directive.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) contexts: Contexts,
    /// Bit n: it takes n arguments.
    pub(super) counts: u16,
    pub(super) block: bool,
    pub(super) value: Value,
    pub(super) since: Option<Version>,
    pub(super) until: Option<Version>,
}

include!(concat!(env!("OUT_DIR"), "/directives.rs"));

/// All directives of that name.
pub(super) fn known(name: &str) -> &'static [Known] {
    let first =
        DIRECTIVES.partition_point(|known| (known.name.len(), known.name) < (name.len(), name));
    let rest = &DIRECTIVES[first..];
    &rest[..rest.partition_point(|known| known.name == name)]
}

impl Known {
    /// Whether it takes that many arguments.
    pub(super) fn takes(&self, count: usize) -> bool {
        self.counts & (1 << count.min(15)) != 0
    }

    /// Whether it may be given once in a block only.
    pub(super) fn is_single(&self) -> bool {
        !matches!(self.value, Value::Any | Value::SomeOf(_))
    }

    /// The argument that no version takes.
    pub(super) fn wrong<'a>(&self, args: &'a [Word]) -> Option<&'a Word> {
        let one = |fits: fn(&str) -> bool| args.iter().take(1).find(|word| !fits(&word.text));
        match self.value {
            Value::Any | Value::Once => None,
            Value::Flag => {
                one(|text| text.eq_ignore_ascii_case("on") || text.eq_ignore_ascii_case("off"))
            }
            Value::Size => one(|text| value::is_size(text, false)),
            Value::Offset => one(|text| value::is_size(text, true)),
            Value::Number(least, most) => args.iter().take(1).find(|word| {
                !value::number(&word.text).is_some_and(|number| (least..=most).contains(&number))
            }),
            Value::Seconds => one(|text| value::is_time(text, true)),
            Value::Milliseconds => one(|text| value::is_time(text, false)),
            Value::Buffers => match args {
                [number, _] if value::number(&number.text).is_none_or(|number| number == 0) => {
                    Some(number)
                }
                [_, size] if !value::is_size(&size.text, false) => Some(size),
                _ => None,
            },
            Value::OneOf(words) => args.iter().take(1).find(|word| !is_among(words, word)),
            Value::SomeOf(words) => args.iter().find(|word| !is_among(words, word)),
        }
    }

    /// What it takes, for a person.
    pub(super) fn takes_what(&self) -> Option<String> {
        Some(match self.value {
            Value::Flag => "it takes `on` or `off`".to_owned(),
            Value::Size => "it takes a size, such as `8k` or `1m`".to_owned(),
            Value::Offset => "it takes a size, such as `8k`, `1m` or `1g`".to_owned(),
            Value::Number(..) => "it takes a number".to_owned(),
            Value::Seconds => "it takes a time, such as `60s` or `1h`".to_owned(),
            Value::Milliseconds => "it takes a time, such as `60s`, `1h` or `500ms`".to_owned(),
            Value::Buffers => "it takes a number and a size, such as `8 16k`".to_owned(),
            Value::OneOf(words) | Value::SomeOf(words) => {
                format!(
                    "it takes {}",
                    words
                        .iter()
                        .map(|word| format!("`{word}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }
            Value::Any | Value::Once => return None,
        })
    }
}

/// ngx_conf_set_enum_slot and ngx_conf_set_bitmask_slot compare without regard to case.
fn is_among(words: &[&str], word: &Word) -> bool {
    words
        .iter()
        .any(|known| known.eq_ignore_ascii_case(&word.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_says_what_nginx_s_own_says() {
        assert!(DIRECTIVES.is_sorted_by_key(|known| (known.name.len(), known.name)));
        let [http, upstream] = ["proxy_set_header", "keepalive"].map(|name| &known(name)[0]);
        assert_eq!(http.contexts, HTTP | SERVER | LOCATION);
        assert!(http.takes(2) && !http.takes(1) && !http.takes(3));
        assert_eq!(upstream.contexts, UPSTREAM);
        assert_eq!(known("server").len(), 4);
        assert_eq!(known("http2")[0].since, Some([1, 25, 1]));
        assert!(known("proxy_set_headers").is_empty());
        assert!(known("try_files")[0].takes(200));
    }
}
