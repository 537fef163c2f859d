"""Teachers from the files that Asteroid publishes; Asteroid is not needed."""

from speechbrain_dfkd.teacher.asteroid.reading import (
    AsteroidNetwork,
    is_asteroid,
    read_asteroid,
)

__all__ = ["AsteroidNetwork", "is_asteroid", "read_asteroid"]
