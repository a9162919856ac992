//! Settings that are one of a few words.

/// Defines an enumeration of words, as they are written and shown.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $expected:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl std::str::FromStr for $name {
            type Err = $crate::units::Malformed;

            fn from_str(text: &str) -> Result<$name, $crate::units::Malformed> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err($crate::units::Malformed::new($expected, text)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $($name::$variant => $word,)* })
            }
        }
    };
}

pub(super) use words;
