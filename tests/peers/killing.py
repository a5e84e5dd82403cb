"""Deaths inside a function: what a kill at any of its steps leaves."""
import os
import signal


def killed_at(step, work, *steps):
    """Let work() be done by a process that is killed before the call of that number (from 0) of those that `steps`
    name, pairs of a module and the names of functions in it; its status as os.waitpid gives it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    left = [step]

    def dying(call):
        def instead(*words, **more):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*words, **more)
        return instead
    try:
        for module, names in steps:
            for name in names:
                setattr(module, name, dying(getattr(module, name)))
        work()
        os._exit(0)
    finally:
        os._exit(1)
