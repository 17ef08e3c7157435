raise ImportError(
    "brianbridge.simulate.frozen has moved to brianbridge.generation.frozen_noise (freeze_noise, thaw_noise)"
)
