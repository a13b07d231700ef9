'use strict';
{
  const byId = id => document.getElementById(id);

  // A region that scrolls sideways can be reached and moved with the keyboard.
  const regions = new ResizeObserver(entries => {
    for (const { target } of entries) {
      const scrolls = target.scrollWidth > target.clientWidth;
      target.toggleAttribute('tabindex', scrolls);
      if (scrolls) target.tabIndex = 0;
    }
  });
  document.querySelectorAll('.scroll').forEach(region => regions.observe(region));

  // What is folded is printed too, but for the numbers behind the bars.
  const unfolded = new Set();
  addEventListener('beforeprint', () => {
    for (const fold of document.querySelectorAll('details:not([open], .aside)')) {
      fold.open = true;
      unfolded.add(fold);
    }
  });
  addEventListener('afterprint', () => {
    for (const fold of unfolded) fold.open = false;
    unfolded.clear();
  });

  if (byId('table')) accesses(JSON.parse(byId('data').textContent));

  // A row is [principal, record, key, operation, outcome, error, count, over, first, last, address]. Texts are indexes into texts, times
  // are seconds since 1970.
  function accesses({ texts, rows }) {
    const perPage = 100;
    const [PRINCIPAL, RECORD, KEY, OP, OUTCOME, ERROR, COUNT, OVER, FIRST, LAST, ADDRESS] = Array(11).keys();
    const columns = [
      { label: 'Principal', at: PRINCIPAL, show: row => name(texts[row[PRINCIPAL]]) },
      { label: 'Record', at: RECORD, show: row => name(texts[row[RECORD]]) },
      { label: 'Key', at: KEY, look: 'id', show: row => name(texts[row[KEY]]) },
      { label: 'Operation', at: OP, show: row => texts[row[OP]] },
      { label: 'Outcome', at: OUTCOME, show: outcome },
      { label: 'Count', at: COUNT, look: 'n', numeric: true, show: count },
      { label: 'First', at: FIRST, look: 't', numeric: true, show: row => moment(row[FIRST]) },
      { label: 'Last', at: LAST, look: 't', numeric: true, show: row => moment(row[LAST]) },
      { label: 'Address', at: ADDRESS, look: 'id address', show: row => name(texts[row[ADDRESS]]) },
    ];
    const table = byId('table');
    const heads = [...table.tHead.rows[0].cells];
    const number = new Intl.NumberFormat('en');
    const words = new Intl.Collator('en', { numeric: true });
    const lower = texts.map(text => text.toLowerCase());

    let sort = columns.findIndex(column => column.at === COUNT);
    let descending = true;
    let page = 0;
    let found = rows;

    const pages = () => Math.max(1, Math.ceil(found.length / perPage));

    function find() {
      const terms = byId('search').value.toLowerCase().split(/\s+/).filter(Boolean);
      const op = byId('op').value;
      const outcome = byId('outcome').value;
      found = rows.filter(row =>
        (!op || texts[row[OP]] === op) && (!outcome || texts[row[OUTCOME]] === outcome) &&
        terms.every(term => [PRINCIPAL, RECORD, KEY, ERROR, ADDRESS].some(at => lower[row[at]].includes(term))));
      order();
    }

    function order() {
      const { at, numeric } = columns[sort];
      const ascending = numeric ? (a, b) => a[at] - b[at] : (a, b) => words.compare(texts[a[at]], texts[b[at]]);
      found = found.toSorted(descending ? (a, b) => ascending(b, a) : ascending);
      page = 0;
      show();
    }

    function show() {
      heads.forEach((head, i) => {
        if (i === sort) head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
        else head.removeAttribute('aria-sort');
      });
      const from = page * perPage;
      const shown = found.slice(from, from + perPage);
      table.tBodies[0].replaceChildren(...shown.map(line));
      const all = found.length === rows.length ? '' : ` found, of ${number.format(rows.length)}`;
      byId('status').textContent = found.length === 0 ? `None${all}` :
        `${number.format(from + 1)}–${number.format(from + shown.length)} of ${number.format(found.length)}${all}`;
      for (const id of ['first', 'previous']) byId(id).setAttribute('aria-disabled', page === 0);
      for (const id of ['next', 'last']) byId(id).setAttribute('aria-disabled', page === pages() - 1);
    }

    function line(row) {
      const tr = document.createElement('tr');
      for (const column of columns) tr.append(cell(row, column));
      return tr;
    }

    function cell(row, { label, at, look, show }) {
      const cell = document.createElement(at === PRINCIPAL ? 'th' : 'td');
      if (at === PRINCIPAL) cell.scope = 'row';
      if (look) cell.className = look;
      cell.dataset.label = label;
      cell.append(show(row));
      return cell;
    }

    function count(row) {
      return row[OVER] ? `${number.format(row[COUNT] - row[OVER])}–${number.format(row[COUNT])}` : number.format(row[COUNT]);
    }

    function moment(seconds) {
      const iso = new Date(seconds * 1000).toISOString();
      const time = document.createElement('time');
      time.dateTime = iso;
      for (const part of seconds < -6e10 ? ['–'] : iso.slice(0, -5).split('T')) {
        const span = document.createElement('span');
        span.textContent = part;
        time.append(span, ' ');
      }
      return time;
    }

    // A line may end after these.
    function name(text) {
      const span = document.createElement('span');
      for (const part of text.split(/(?<=[:/=])/)) span.append(part, document.createElement('wbr'));
      return span;
    }

    function outcome(row) {
      const how = texts[row[OUTCOME]];
      const error = texts[row[ERROR]];
      const cell = document.createDocumentFragment();
      const word = document.createElement('span');
      word.classList.add('outcome', ...how.split(/\s+/).filter(Boolean));
      word.textContent = how;
      cell.append(word);
      if (error) {
        const why = document.createElement('span');
        why.className = 'error';
        why.append(name(error));
        cell.append(' ', why);
      }
      return cell;
    }

    heads.forEach((head, i) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = head.textContent;
      button.addEventListener('click', () => {
        descending = sort === i ? !descending : Boolean(columns[i].numeric);
        sort = i;
        order();
      });
      head.replaceChildren(button);
    });
    const turn = (id, to) => byId(id).addEventListener('click', event => {
      if (event.currentTarget.getAttribute('aria-disabled') === 'true') return;
      page = to();
      show();
      table.scrollIntoView({ block: 'start' });
    });
    turn('first', () => 0);
    turn('previous', () => page - 1);
    turn('next', () => page + 1);
    turn('last', () => pages() - 1);
    byId('controls').addEventListener('input', find);
    byId('controls').addEventListener('submit', event => event.preventDefault());
    byId('controls').addEventListener('reset', () => setTimeout(find)); // the fields are empty only after the event
    byId('controls').hidden = byId('pager').hidden = false;
    show();
  }
}
