"""What a task is: the protocol that training and checks rely on."""

from typing import Protocol, runtime_checkable

from brianbridge.tasks.trials import Trials


@runtime_checkable
class Task(Protocol):
    """A task draws trials and judges answers. Any object with these four members is one.

    Attributes
    ----------
    name : str
        What files call the task.
    arguments : dict
        The arguments that rebuild the task, fit for JSON; quantities as text such as ``'300 ms'``.

    Examples
    --------
    A network that is to remember the sign of a pulse:

    >>> import numpy as np
    >>> from brian2.units import ms
    >>> from brianbridge.tasks import Task, Trials
    >>> from brianbridge.tasks.epochs import during, last_step, lay_out
    >>> from brianbridge.tasks.streams import held
    >>> class RememberSign:
    ...     name = 'remember_sign'
    ...     arguments = {}
    ...
    ...     def trials(self, rng, batch, dt):
    ...         rng = np.random.default_rng(rng)
    ...         epochs = lay_out({'pulse': 100*ms, 'delay': 200*ms, 'response': 100*ms}, batch, dt)
    ...         steps = last_step(epochs)
    ...         sign = rng.choice([-1, 1], size=batch)
    ...         return Trials(inputs={'stimulus': held(sign[:, np.newaxis], during(epochs['pulse'], steps))},
    ...                       targets=held(sign[:, np.newaxis], during(epochs['response'], steps)),
    ...                       mask=np.ones((steps, batch, 1)), epochs=epochs,
    ...                       conditions={'sign': sign}, dt=dt)
    ...
    ...     def score(self, output, trials):
    ...         mean = np.mean(output[..., 0], axis=0, where=trials.during('response'))
    ...         return np.sign(mean) == trials.conditions['sign']
    >>> task = RememberSign()
    >>> isinstance(task, Task)
    True
    >>> trials = task.trials(rng=1, batch=5, dt=1*ms)
    >>> task.score(trials.targets, trials).all()
    np.True_
    """

    name: str
    arguments: dict

    def trials(self, rng, batch, dt) -> Trials:
        """Draw trials.

        Parameters
        ----------
        rng : numpy Generator or int
            An integer is a seed: the same seed gives the same trials.
        batch : int
            Number of trials.
        dt : Quantity
            Time step of inputs and targets.
        """
        ...

    def score(self, output, trials):
        """Judge an output, the array (time, batch, outputs), against the trials it answers.

        Returns
        -------
        bool array (batch,)
            Whether the trial is correct.
        """
        ...
