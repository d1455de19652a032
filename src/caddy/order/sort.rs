//! Go's stable sort (sort/zsortfunc.go, `stable_func`).
//!
//! What Caddy sorts its routes by is no order: a route with several paths is before neither of two
//! with one path of different length. So the result depends on the algorithm.

/// Elements that are sorted by insertion before they are merged.
const BLOCK: usize = 20;

/// Sorts `data` as Go does, whatever `less` says.
pub(in crate::caddy) fn stable<T>(data: &mut [T], less: &impl Fn(&T, &T) -> bool) {
    for block in data.chunks_mut(BLOCK) {
        for end in 1..block.len() {
            let mut at = end;
            while at > 0 && less(&block[at], &block[at - 1]) {
                block.swap(at, at - 1);
                at -= 1;
            }
        }
    }
    let mut size = BLOCK;
    while size < data.len() {
        for pair in data.chunks_mut(2 * size) {
            if pair.len() > size {
                merge(pair, size, less);
            }
        }
        size *= 2;
    }
}

/// Merges what comes before `middle` with what comes after it, both sorted. The recursion is as
/// deep as the length has digits.
fn merge<T>(data: &mut [T], middle: usize, less: &impl Fn(&T, &T) -> bool) {
    let length = data.len();
    if middle == 0 || middle == length {
        return;
    }
    if middle == 1 {
        let to = 1 + data[1..].partition_point(|other| less(other, &data[0]));
        data[..to].rotate_left(1);
        return;
    }
    if length - middle == 1 {
        let to = data[..middle].partition_point(|other| !less(&data[middle], other));
        data[to..].rotate_right(1);
        return;
    }
    let half = length / 2;
    let sum = half + middle;
    let (mut start, mut end) = match middle > half {
        true => (sum - length, half),
        false => (0, middle),
    };
    while start < end {
        let at = usize::midpoint(start, end);
        match less(&data[sum - 1 - at], &data[at]) {
            true => end = at,
            false => start = at + 1,
        }
    }
    let end = sum - start;
    if start < middle && middle < end {
        data[start..end].rotate_left(middle - start);
    }
    let (left, right) = data.split_at_mut(half);
    merge(left, start, less);
    merge(right, end - half, less);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_sorted_stably() {
        let mut state = 7_u64;
        for length in [0, 1, 2, 19, 20, 21, 45, 200, 1001] {
            let mut data: Vec<(u64, usize)> = (0..length)
                .map(|at| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    ((state >> 33) % 17, at)
                })
                .collect();
            let mut expected = data.clone();
            expected.sort_by_key(|(key, _)| *key);
            stable(&mut data, &|a, b| a.0 < b.0);
            assert_eq!(data, expected, "{length}");
        }
    }

    #[test]
    fn what_is_no_order_ends_too() {
        let mut data: Vec<usize> = (0..500).collect();
        stable(&mut data, &|_, _| true);
        let mut sorted = data.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..500).collect::<Vec<_>>());
    }
}
