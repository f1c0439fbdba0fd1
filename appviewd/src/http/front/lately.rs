//! A bounded memory: what was asked for lately is there, what was not has gone.
//!
//! Keys and values with their weights enter; values leave by their keys. There are two generations. Whatever is asked for
//! moves to the younger; when that weighs half of what both may weigh, the older goes as a whole and the younger takes its
//! place. So no order of use is kept, and nothing is searched for what to give up.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// What was asked for lately.
#[derive(Debug)]
pub(in crate::http) struct Lately<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// Of the young.
    weight: usize,
    most: usize,
}

impl<K: Eq + Hash, V: Clone> Lately<K, V> {
    /// Keeps what weighs up to `most` together.
    pub(in crate::http) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, most }
    }

    /// What is kept under a key.
    pub(in crate::http) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.put(key, value.clone(), weight);
        Some(value)
    }

    /// Gives up what is of no use any more.
    pub(in crate::http) fn retain(&mut self, is_of_use: impl Fn(&V) -> bool) {
        self.old.retain(|_, (value, _)| is_of_use(value));
        self.young.retain(|_, (value, _)| is_of_use(value));
        self.weight = self.young.values().map(|(_, weight)| weight).sum();
    }

    /// Keeps a value in the place of whatever is kept under the same key.
    pub(in crate::http) fn put(&mut self, key: K, value: V, weight: usize) {
        let before = self.young.insert(key, (value, weight)).map_or(0, |(_, weight)| weight);
        self.weight = self.weight.saturating_add(weight).saturating_sub(before);
        if self.weight > self.most / 2 {
            self.old = mem::take(&mut self.young);
            self.weight = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let mut lately = Lately::new(20);
        lately.put("used", 0, 1);
        lately.put("unused", 1, 1);
        for other in 0..1_000 {
            lately.put(Box::leak(other.to_string().into_boxed_str()), other, 1);
            assert_eq!(lately.get("used"), Some(0));
            assert!(lately.young.len() + lately.old.len() <= 22, "what is kept is bounded");
        }
        assert_eq!(lately.get("unused"), None);
    }

    #[test]
    fn what_is_of_no_use_goes_and_makes_room() {
        let mut lately = Lately::new(20);
        for key in 0..9 {
            lately.put(key, key, 1);
        }
        lately.retain(|value| *value == 0);
        assert_eq!((lately.get(&0), lately.get(&1), lately.weight), (Some(0), None, 1));
        for key in 10..19 {
            lately.put(key, key, 1);
        }
        assert!(lately.old.is_empty(), "there is room for nine more");
    }

    #[test]
    fn a_value_takes_the_place_of_the_one_before_with_its_weight() {
        let mut lately = Lately::new(20);
        for value in 0..1_000 {
            lately.put("one", value, 5);
        }
        lately.put("two", 2, 5);
        assert_eq!((lately.get("one"), lately.get("two")), (Some(999), Some(2)));
    }
}
