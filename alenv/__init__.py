"""alenv: Gymnasium environments in which choosing what to label next is the task.

Importing the package registers its environments::

    import alenv
    import gymnasium as gym

    env = gym.make("RegionSelect-v0")
"""

__version__ = "0.1.0"

from alenv.registration import register_envs as _register_envs

_register_envs()
