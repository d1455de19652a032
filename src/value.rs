//! What is known of a value: it, one of several, or that it cannot be known from the files.

/// A value as far as the configuration decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<T = String> {
    /// Exactly this.
    Known(T),
    /// One of these, and the configuration does not say which.
    OneOf(Vec<T>),
    /// Not to be known from the files, and why (for a person).
    Unknown(String),
}

impl<T> Value<T> {
    /// The value, if there is no doubt about it.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::OneOf(_) | Self::Unknown(_) => None,
        }
    }

    /// Every value that it may have; `None` where that cannot be listed.
    pub fn possible(&self) -> Option<&[T]> {
        match self {
            Self::Known(value) => Some(std::slice::from_ref(value)),
            Self::OneOf(values) => Some(values),
            Self::Unknown(_) => None,
        }
    }

    /// Whether every possible value satisfies `test`; `None` if it is unknown or they differ.
    pub fn decide(&self, mut test: impl FnMut(&T) -> bool) -> Option<bool> {
        let mut answers = self.possible()?.iter().map(&mut test);
        let first = answers.next()?;
        answers.all(|answer| answer == first).then_some(first)
    }

    /// Whether some possible value satisfies `test`; an unknown value may be anything.
    pub fn may(&self, test: impl FnMut(&T) -> bool) -> bool {
        self.possible().is_none_or(|values| values.iter().any(test))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_decides_only_what_all_possibilities_share() {
        let either = Value::OneOf(vec![1, 2]);
        assert_eq!(either.decide(|n| *n > 0), Some(true));
        assert_eq!(either.decide(|n| *n > 1), None);
        assert!(either.may(|n| *n > 1));
        assert_eq!(Value::<u8>::Unknown("env".into()).decide(|_| true), None);
    }
}
