"""The limits of the Python rules in one settings class: a change needs no code. Variables: STREAMGUARD_RULES_*."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from streamguard.config.names import CheckedSettings


class RuleLimits(CheckedSettings):
    """Scores are points on a scale of 0-100; amounts are in the currency of the transaction."""

    model_config = SettingsConfigDict(env_prefix="STREAMGUARD_RULES_", frozen=True)

    base_score: int = 50
    """What the hit of an SQL rule is worth by itself."""
    review_at: int = 30
    block_at: int = 90

    enough_history: int = Field(default=5, ge=1)
    """Earlier transactions that it takes to speak of habits."""
    high_ratio: Decimal = Decimal(5)
    normal_ratio: Decimal = Decimal(2)
    known_merchant_transactions: int = Field(default=3, ge=1)
    certain_frauds: int = Field(default=2, ge=1)
    """Unexplained frauds from which a merchant is taken as compromised."""
    compromise_fades_days: int = Field(default=25, ge=1)
    """Days after its first fraud from which a compromised merchant is taken as repaired, more likely than not."""
    night_from_hour: int = Field(default=0, ge=0, le=23)
    night_until_hour: int = Field(default=5, ge=0, le=24)
    testing_small_amount: Decimal = Decimal(10)
    testing_large_amount: Decimal = Decimal(500)
    testing_transactions: int = Field(default=3, ge=1)
    testing_minutes: int = Field(default=60, ge=1)
    dismissals_to_trust: int = Field(default=2, ge=1)
