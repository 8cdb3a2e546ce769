import { ExpectedError } from '../errors.js'

/** @throws ExpectedError `NOT_ROOT` for anybody else: an engine runs as root what is installed here. */
export function refuseWithoutRoot(verb: 'install' | 'uninstall', uid = process.geteuid?.() ?? 0): void {
  if (uid === 0) return
  throw new ExpectedError('NOT_ROOT', `${verb} changes files of the system and needs root, this is user ${uid}`, {
    hint: `Run it with sudo; what it would do shows: spark-run ${verb} … --dry-run`,
  })
}
