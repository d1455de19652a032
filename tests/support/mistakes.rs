//! Small mistakes, made at random in configurations that are right.

use crate::random::Random;

/// What mistakes in one language are made of.
pub(crate) struct Mistakes<'a> {
    /// Lines to add.
    pub(crate) lines: &'a [&'a str],
    /// Words to write in place of an argument.
    pub(crate) words: &'a [&'a str],
    /// Characters to forget.
    pub(crate) marks: &'a [char],
}

impl Mistakes<'_> {
    /// One small mistake, or a harmless change.
    pub(crate) fn make(&self, text: &str, random: &mut Random) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = random.below(lines.len());
        match random.below(8) {
            0 | 1 => lines.insert(at, random.pick(self.lines).to_owned()),
            2 => {
                lines.remove(at);
            }
            3 => {
                let line = lines[random.below(lines.len())].clone();
                lines.insert(at, line);
            }
            4 => {
                let line = lines.remove(at);
                lines.insert(random.below(lines.len()), line);
            }
            5 => {
                // A character less.
                let places: Vec<usize> = text.match_indices(self.marks).map(|(at, _)| at).collect();
                let mut text = text.to_owned();
                text.remove(places[random.below(places.len())]);
                return text;
            }
            _ => {
                // A word more, less, or another one.
                let mut words: Vec<String> = lines[at].split(' ').map(str::to_owned).collect();
                let place = random.below(words.len());
                let word = random.pick(self.words);
                match random.below(3) {
                    0 => words.insert(place, word.to_owned()),
                    1 => {
                        words.remove(place);
                    }
                    _ => {
                        let end = if words[place].ends_with(';') { ";" } else { "" };
                        words[place] = format!("{word}{end}");
                    }
                }
                lines[at] = words.join(" ");
            }
        }
        lines.join("\n") + "\n"
    }
}
