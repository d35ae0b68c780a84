//! Which known name a user may have meant.

/// The candidate nearest to `name` by edits of one character, unless even that one is too far to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Beyond a third of its length a name has little in common with what was typed.
    let far = (name.chars().count() / 3).max(2);
    let distance_to = |candidate: &str| {
        // A key of our own without its `ottla.` is a common slip.
        let short = candidate.strip_prefix("ottla.").map_or(usize::MAX, |short| distance(name, short));
        distance(name, candidate).min(short)
    };
    candidates
        .map(|candidate| (distance_to(candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The fewest insertions, deletions and replacements of one character that make `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, from_char) in from.chars().enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (above, to_char) in row.iter().skip(1).zip(&to) {
            let replaced = above_left + usize::from(from_char != *to_char);
            left = replaced.min(above + 1).min(left + 1);
            above_left = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
