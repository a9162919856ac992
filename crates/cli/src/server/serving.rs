//! What is served and how: the part of a server that a reload replaces.

use std::sync::Arc;

use afpa_cache::{Cache, CacheConfig};
use afpa_http::files::{CacheRule, Selector, Site, SiteOptions, Watch};
use afpa_http::syntax::Limits;
use afpa_http::{Kept, Settings};

use super::direct;
use super::dns::DnsServing;
use crate::config::{self, Config};

/// The settings that the engines share, and what they stand on.
pub(super) struct Serving {
    site: Option<SiteServing>,
    dns: Option<DnsServing>,
}

/// Of the site.
struct SiteServing {
    settings: Arc<Settings>,
    ground: Arc<Ground>,
}

/// The site, its cache, and the thread that keeps the cache honest. Kept through a reload that
/// changes none of what they are made from, so that a reload does not leave the cache cold.
struct Ground {
    site_config: config::Site,
    cache_config: config::Cache,
    site: Arc<Site>,
    cache: Arc<Cache<Kept>>,
    _watch: Watch,
}

impl Serving {
    /// Opens the site and an empty cache, or takes over those of `previous`. Nothing that runs is
    /// touched.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(super) fn prepare(config: &Config, engines: usize, previous: Option<&Serving>) -> Result<Serving, String> {
        let site = previous.and_then(|serving| serving.site.as_ref());
        let site = config.has_site().then(|| SiteServing::prepare(config, engines, site)).transpose()?;
        let dns = config.dns.as_ref();
        let before = previous.and_then(|serving| serving.dns.as_ref());
        let dns = dns.map(|dns| DnsServing::prepare(config, dns, engines, before)).transpose()?;
        Ok(Serving { site, dns })
    }

    /// The site's settings, if there is one.
    pub(super) fn site(&self) -> Option<Arc<Settings>> {
        self.site.as_ref().map(|site| site.settings.clone())
    }

    /// What DNS serves, if it does.
    pub(super) fn dns(&self) -> Option<&DnsServing> {
        self.dns.as_ref()
    }
}

impl SiteServing {
    fn prepare(config: &Config, engines: usize, previous: Option<&SiteServing>) -> Result<SiteServing, String> {
        let unchanged =
            |ground: &&Arc<Ground>| ground.site_config == config.site && ground.cache_config == config.cache;
        let ground = match previous.map(|serving| &serving.ground).filter(unchanged) {
            Some(ground) => ground.clone(),
            None => Arc::new(Ground::prepare(config, engines)?),
        };
        let limits = &config.limits;
        let settings = Settings {
            sites: vec![ground.site.clone()],
            cache: ground.cache.clone(),
            limits: head_limits(limits),
            header_timeout: limits.header_timeout.0,
            idle_timeout: limits.idle_timeout.0,
            min_rate: limits.min_rate.0,
            body_drain: limits.body_drain.0,
        };
        Ok(SiteServing { settings: Arc::new(settings), ground })
    }
}

impl Ground {
    fn prepare(config: &Config, engines: usize) -> Result<Ground, String> {
        let root = &config.site.root;
        let site = Site::open(root, site_options(config))
            .map_err(|error| format!("{} cannot be served: {error}", root.display()))?;
        let cache = Cache::new(CacheConfig {
            capacity: config.cache.size.0,
            max_pinned_object: config.cache.max_pinned_object.0,
            engines,
            frames: direct::frame_memory(config),
        });
        let cache = cache.map_err(|error| format!("a cache of {} cannot be made: {error}", config.cache.size))?;
        let site = Arc::new(site);
        let watch = Watch::start(site.clone(), cache.clone())
            .map_err(|error| format!("{} cannot be watched: {error}", root.display()))?;
        let (site_config, cache_config) = (config.site.clone(), config.cache);
        Ok(Ground { site_config, cache_config, site, cache, _watch: watch })
    }
}

fn site_options(config: &Config) -> SiteOptions {
    let site = &config.site;
    let rule = |rule: &config::CacheControlRule| {
        let applies_to = match (&rule.prefix, &rule.extension) {
            (Some(prefix), _) => Selector::Prefix(prefix.clone()),
            (None, Some(extension)) => Selector::Extension(extension.clone()),
            (None, None) => Selector::Everything,
        };
        CacheRule { applies_to, value: rule.value.clone() }
    };
    let default =
        site.cache_control.iter().map(|value| CacheRule { applies_to: Selector::Everything, value: value.clone() });
    SiteOptions {
        index: site.index.clone(),
        listing: site.listing,
        dotfiles: site.dotfiles,
        follow_symlinks_outside: site.follow_symlinks,
        precompressed: site.precompressed,
        compress: site.compress,
        cache_control: site.cache_control_rules.iter().map(rule).chain(default).collect(),
        max_pinned_object: config.cache.max_pinned_object.0,
        revalidate_after: config.cache.revalidate.0,
        ..SiteOptions::default()
    }
}

fn head_limits(limits: &config::Limits) -> Limits {
    Limits {
        head: limits.header_size.0 as usize,
        fields: limits.headers as usize,
        target: limits.target.0 as usize,
        ..Limits::default()
    }
}
